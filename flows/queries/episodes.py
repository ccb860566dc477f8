"""episodes: what a device did and when, newest first."""

from typing import get_args

import msgspec

from flows.model.episode import VALUES, Episode, EpisodeKind
from flows.model.times import iso
from flows.queries.devices import known
from flows.store.protocol import StoreReader

KINDS = len(get_args(EpisodeKind))


def page(
    reader: StoreReader, device_id: str, kind: EpisodeKind | None, start: int, end: int, limit: int
) -> tuple[list[dict[str, object]], int | None]:
    """List episodes that reach into [start, end), and say where an older page ends, None if this is the last.

    start, end : [ms since 1970, UTC]
    limit      : most in a page, and those that begin with its last one: a page ends between two times.
    Raises DeviceNotFound.
    """
    known(reader, device_id)
    found = reader.episodes(device_id, kind, start, end, limit + KINDS)
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
