"""samples: counters of the last minute; rates, sparklines and what has just moved come from them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

MOST_SAMPLES = 61
"""A minute of them, one a second."""

_RATE_OVER_MS = 10_000
_MOST_DOTS = 3


class Sample(msgspec.Struct, frozen=True):
    """at: when. [ms since 1970, UTC]; counts: by name, see sample_of."""

    at: int
    counts: Mapping[str, int]


def sample_of(answer: Mapping[str, Any]) -> Sample:
    """Take the counters of GET /api/pipeline: broker, store …, of steps `in STEP`, of ports `STEP.PORT`."""
    counts = {
        "broker": answer["journal"]["messages"],
        "store": answer["store"]["stored"] + answer["store"]["unchanged"],
        "live": answer["live"]["done"],
        "unread": answer["unread"],
        "read": answer["read_seq"],
    }
    for node in answer["nodes"]:
        counts[f"in {node['step']}"] = node["in"]
        counts |= {f"{node['step']}.{port}": given for port, given in node["out"].items()}
    return Sample(answer["at"], counts)


def rates(samples: Sequence[Sample], name: str) -> list[float]:
    """Give how fast a counter rose, second by second, oldest first. [1/s]"""
    return [
        max(0.0, (after.counts.get(name, 0) - before.counts.get(name, 0)) * 1_000 / (after.at - before.at))
        for before, after in pairwise(samples)
    ]


def change(samples: Sequence[Sample], name: str) -> float | None:
    """Give how fast a number changed over the last ten seconds, None while there is one sample. [1/s]"""
    if len(samples) < 2:
        return None
    newest = samples[-1]
    oldest = next(sample for sample in samples if sample.at >= newest.at - _RATE_OVER_MS or sample is newest)
    if oldest is newest:
        oldest = samples[-2]
    return (newest.counts.get(name, 0) - oldest.counts.get(name, 0)) * 1_000 / (newest.at - oldest.at)


def rate(samples: Sequence[Sample], name: str, told: float = 0.0) -> float:
    """Give how fast a counter rises, over the last ten seconds; `told` by the API at the first sample. [1/s]"""
    found = change(samples, name)
    return told if found is None else max(0.0, found)


def dots(samples: Sequence[Sample], name: str) -> int:
    """Say how many dots move: as many as items that passed since the sample before, three at most."""
    if len(samples) < 2:
        return 0
    rose = samples[-1].counts.get(name, 0) - samples[-2].counts.get(name, 0)
    return min(max(rose, 0), _MOST_DOTS)
