"""page_state: which state the page is in, decided from the answers it got; one sentence, one action each."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal

import msgspec

from panel_app.components.device import Answer, is_stale

State = Literal[
    "loading",
    "store-down",
    "first-run",
    "unknown-device",
    "catching-up",
    "stale",
    "part-failed",
    "no-data",
    "well",
]

BEHIND_MS = 10_000
"""A pipeline further behind than this is catching up; as /api/health says it."""

NOT_FOUND = 404

NEWEST = "Newest values"
"""The part without which nothing else on the page is of now."""


class Failure(msgspec.Struct, frozen=True):
    """A question that was not answered. part: what the page shows of it; status: of HTTP, 0 without an answer.

    at    : when. [ms since 1970, UTC]
    alert : id of the alert that was to be acknowledged; "" where something was asked for.
    """

    part: str
    status: int
    detail: str
    at: int
    alert: str = ""


class Refused(msgspec.Struct, frozen=True):
    """What a device has sent that could not be read. reason: of the last one, in a word."""

    messages: int
    reason: str


class Answers(msgspec.Struct, frozen=True):
    """What the page knows; None where no answer came yet.

    health        : of GET /api/health, its 503 too.
    devices       : of GET /api/devices.
    status        : of GET /api/devices/{id}/status; status_code: its HTTP status, 0 before it.
    behind_ms     : of /api/pipeline, how old what it reads is; behind_before_ms: the same some seconds earlier.
    series        : of GET /api/devices/{id}/series over the span that is shown.
    failures      : parts that could not be loaded.
    """

    now_ms: int
    health: Answer | None = None
    devices: Sequence[Answer] | None = None
    status: Answer | None = None
    status_code: int = 0
    behind_ms: int | None = None
    behind_before_ms: int | None = None
    series: Answer | None = None
    failures: Sequence[Failure] = ()


def page_state(answers: Answers) -> State:
    """Decide: the first that holds, from what hides everything to what hides one part."""
    if answers.health is not None and answers.health.get("status") == "unhealthy":
        return "store-down"
    if answers.devices is not None and not answers.devices:
        return "first-run"
    if answers.status_code == NOT_FOUND:
        return "unknown-device"
    if answers.status is None:
        return "part-failed" if answers.failures else "loading"
    if _catches_up(answers):
        return "catching-up"
    if any(failure.part == NEWEST for failure in answers.failures):
        return "part-failed"  # whether it is silent cannot be known
    if is_stale(answers.status, answers.now_ms):
        return "stale"
    if answers.failures:
        return "part-failed"
    if answers.series is not None and answers.series.get("readings") == 0:
        return "no-data"
    return "well"


def nearest(device_id: str, devices: Sequence[Answer], most: int = 3) -> list[str]:
    """Name the devices whose ids are most like one that is not known."""
    return get_close_matches(device_id, [str(device["device_id"]) for device in devices], n=most, cutoff=0.5)


def _catches_up(answers: Answers) -> bool:
    behind, before = answers.behind_ms, answers.behind_before_ms
    return behind is not None and before is not None and before > behind > BEHIND_MS
