"""episodes: what a device did and when, newest first."""

import msgspec

from flows.model.episode import VALUES, Episode, EpisodeKind
from flows.model.times import iso
from flows.queries.devices import known
from flows.store.protocol import StoreReader


def episodes(
    reader: StoreReader, device_id: str, kind: EpisodeKind | None, start: int, end: int, limit: int
) -> list[dict[str, object]]:
    """List episodes that reach into [start, end). [ms since 1970, UTC] Raises DeviceNotFound."""
    known(reader, device_id)
    return [_answer(device_id, each) for each in reader.episodes(device_id, kind, start, end, limit)]


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
