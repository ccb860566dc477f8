"""episodes: what a device did and when, newest first."""

from collections.abc import Collection

import msgspec

from flows.errors import BadQuery
from flows.model.episode import KINDS, VALUES, Episode, EpisodeKind
from flows.model.times import iso
from flows.queries.devices import known
from flows.store.protocol import StoreReader


def asked_kinds(text: str | None) -> tuple[EpisodeKind, ...]:
    """Read a comma-separated list; without one: every kind. Raises BadQuery."""
    if text is None:
        return KINDS
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in KINDS:
            raise BadQuery("kind", name[:80], f"must be one or more of {', '.join(KINDS)}, separated by commas")
    return tuple(kind for kind in KINDS if kind in names)


def page(
    reader: StoreReader, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
) -> tuple[list[dict[str, object]], int | None]:
    """List episodes that reach into [start, end), and say where an older page ends, None if this is the last.

    start, end : [ms since 1970, UTC]
    limit      : most in a page, and those that begin with its last one: a page ends between two times.
    Raises DeviceNotFound.
    """
    known(reader, device_id)
    found = reader.episodes(device_id, kinds, start, end, limit + len(KINDS))
    last = found[limit - 1].start if len(found) > limit else None
    shown = [each for each in found if last is None or each.start >= last]
    return [_answer(device_id, each) for each in shown], last if len(found) > len(shown) else None


def _answer(device_id: str, episode: Episode) -> dict[str, object]:
    """Say it in one flat object; what is not known is null."""
    told = msgspec.structs.asdict(episode)
    del told["values"]
    return {
        "id": f"{device_id}/{episode.kind}/{episode.start}",
        "device_id": device_id,
        **told,
        "start": iso(episode.start),
        "end": iso(episode.end),
        "seconds": (episode.end - episode.start) / 1000,
        **{name: episode.values.get(name) for name in VALUES},
    }
