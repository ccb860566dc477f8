"""What the flow's newest counters say is wrong; no paths or addresses, since /api/health asks no token."""

import re

import msgspec

BEHIND_MS = 10_000

_ADDRESS = re.compile(r" at https?://\S+")
_PATH = re.compile(r"(?<![\w:/])/[^\s:\"']+")


class _Journal(msgspec.Struct):
    connected: bool = True
    full: bool = False
    damaged_regions: int = 0
    missing_frames: int = 0


class _Store(msgspec.Struct):
    waiting: str = ""


class Counters(msgspec.Struct):
    """As much of the flow's counters as tells whether it is well; the rest is for /api/pipeline."""

    journal: _Journal = msgspec.field(default_factory=_Journal)
    store: _Store = msgspec.field(default_factory=_Store)
    backlog: int = 0
    behind_ms: int = 0


decode = msgspec.json.Decoder(Counters).decode


def problems(counters: Counters) -> list[str]:
    """Say what is wrong; nothing, if nothing is."""
    journal, behind_s = counters.journal, counters.behind_ms // 1000
    said = {
        "the journal is full, nothing new is taken: make room on the disk or raise its limit": journal.full,
        "the flow is not subscribed at the broker; /api/pipeline says why (journal.problem)": (
            not journal.connected and not journal.full
        ),
        f"what arrives waits for the store{_because(counters.store.waiting)}": bool(counters.store.waiting),
        f"the pipeline is {counters.backlog} frames behind, the newest it read came {behind_s} s ago": (
            counters.behind_ms > BEHIND_MS
        ),
        f"the journal is damaged in {journal.damaged_regions} places, {journal.missing_frames} frames are missing;"
        " see docs/reference/journal.md": journal.damaged_regions + journal.missing_frames > 0,
    }
    return [sentence for sentence, holds in said.items() if holds]


def _because(waiting: str) -> str:
    """Say why in InfluxDB's words; of an embedded store's file the API tells who has a token."""
    if "InfluxDB" not in waiting:
        return "; /api/pipeline says why (store.waiting)"
    return f": {without_places(waiting)}"


def without_places(text: str) -> str:
    """Leave out addresses and paths, which are nobody's business but the operator's."""
    return _PATH.sub("…", _ADDRESS.sub("", text))
