"""stall: what stands still or is about to, in one sentence, with what to do; the worst alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from markupsafe import Markup

from panel_app.api_client import ApiProblem
from panel_app.components.pipeline.samples import Sample, change
from panel_app.components.pipeline.tape import AMBER_MS, DAY_S, oldest_unread_ms
from panel_app.components.render import render
from panel_app.words import clock, instant, lasting, number

SILENT_MS = 3_000
"""An answer this old is from before: the flow is asked every second. [ms]"""

_GROWS = 0.2
"""A backlog that grows more slowly stands still. [1/s]"""


class Trouble(msgspec.Struct, frozen=True):
    """What stands still.

    said    : what is wrong, without numbers, read aloud once; lead: the same with them.
    rest    : what it means, and what happens next.
    command : what to run, "" for nothing.
    """

    level: Literal["critical", "warning"]
    said: str
    lead: str
    rest: str
    command: str = ""


def is_old(answered_at: int, now_ms: int) -> bool:
    """Say whether what is shown is from before."""
    return bool(answered_at) and now_ms - answered_at > SILENT_MS


def trouble(
    answer: Mapping[str, Any] | None,
    answered_at: int,
    problem: ApiProblem | None,
    samples: Sequence[Sample],
    now_ms: int,
) -> Trouble | None:
    """Find the worst there is; None while all moves.

    answer : of GET /api/pipeline, the newest there was, which came at `answered_at`. [ms since 1970, UTC]
    """
    if problem is not None or is_old(answered_at, now_ms):
        return _silent(answered_at, problem, now_ms)
    if answer is None:
        return None
    for judge in (_journal, _store, _stuck, _late, _room):
        found = judge(answer, samples)
        if found is not None:
            return found
    return None


def banner(found: Trouble | None) -> Markup:
    """Draw it; its place is there always, so that what comes is read aloud."""
    return render("pipeline/stall", found=found)


def _silent(answered_at: int, problem: ApiProblem | None, now_ms: int) -> Trouble:
    lasts = f" for {lasting(now_ms - answered_at)}" if answered_at and now_ms - answered_at >= 1_000 else ""
    shown = f" What is shown is from {clock(answered_at, 'UTC', seconds=True)} UTC." if answered_at else ""
    # What to do stands behind a semicolon; here it is the button.
    why = f" {_sentence(problem.detail.split('; ')[0])}" if problem is not None else ""
    who, means = "flow", "Nothing is read or stored; the broker keeps what devices send with QoS 1."
    if problem is not None and problem.status == 0:
        who, means = "API", "Whether the flow runs is not known."
    return Trouble(
        "critical",
        f"The {who} does not answer.",
        f"The {who} has not answered{lasts}.",
        f"{means}{why}{shown}",
        "heatpump status",
    )


def _journal(answer: Mapping[str, Any], _: Sequence[Sample]) -> Trouble | None:
    journal = answer["journal"]
    if journal["full"]:
        return Trouble(
            "critical",
            "The journal is full.",
            "The journal is full.",
            f"{_sentence(journal['problem'])} Devices keep what the broker does not take: make room on the disk.",
            "heatpump doctor",
        )
    if not journal["connected"]:
        return Trouble(
            "critical",
            "The broker is away.",
            "The broker is away.",
            f"{_sentence(journal['problem'])} Nothing comes in until it answers; it is tried again and again.",
            "heatpump doctor",
        )
    return None


def _store(answer: Mapping[str, Any], samples: Sequence[Sample]) -> Trouble | None:
    store = answer["store"]
    if not store["waiting"]:
        return None
    lasts = lasting(max(0, answer["at"] - instant(store["waiting_since"])))
    return Trouble(
        "critical",
        "The store takes nothing.",
        f"The store has not taken anything for {lasts}.",
        f"{_sentence(store['waiting'])} Nothing is lost: {_waiting(answer)}{_has_room(answer)}; retrying.",
        "heatpump doctor",
    )


def _stuck(answer: Mapping[str, Any], samples: Sequence[Sample]) -> Trouble | None:
    """The flow answers, yet reads nothing of what waits."""
    moved = change(samples, "read")
    if not answer["unread"] or oldest_unread_ms(answer) < 10_000 or moved is None or moved > 0:
        return None
    return Trouble(
        "critical",
        "The pipe stands still.",
        f"The pipe has stood still for {lasting(oldest_unread_ms(answer))}.",
        f"Nothing is lost: {_waiting(answer)}{_has_room(answer)}. Its log says what it waits for.",
        "heatpump doctor",
    )


def _late(answer: Mapping[str, Any], samples: Sequence[Sample]) -> Trouble | None:
    waits, moves = oldest_unread_ms(answer), change(samples, "unread")
    if waits < AMBER_MS:
        return None
    if moves is not None and moves < -_GROWS:
        rest = f"It catches up: {_waiting(answer)}, done in about {lasting(answer['unread'] / -moves * 1_000)}."
        return Trouble("warning", "The pipe is behind.", f"The pipe is {lasting(waits)} behind.", rest)
    grows = " and more come than it can take" if moves is not None and moves > _GROWS else ""
    return Trouble(
        "warning",
        "The pipe is behind.",
        f"The pipe is {lasting(waits)} behind{grows}.",
        f"Nothing is lost: {_waiting(answer)}{_has_room(answer)}. See what keeps the machine busy.",
        "heatpump doctor",
    )


def _room(answer: Mapping[str, Any], _: Sequence[Sample]) -> Trouble | None:
    room_s = answer["journal"]["room_s"]
    if room_s is None or room_s >= DAY_S:
        return None
    return Trouble(
        "critical",
        "The journal runs out of room.",
        f"The journal has room for {lasting(room_s * 1_000)}.",
        "Then nothing more is taken: make room on its disk, or let it grow (HEATPUMP_JOURNAL_MAX_MB).",
        "heatpump doctor",
    )


def _waiting(answer: Mapping[str, Any]) -> str:
    waits = answer["unread"] + answer["store"]["open"]
    return f"{number(waits)} reading{' waits' if waits == 1 else 's wait'} in order"


def _has_room(answer: Mapping[str, Any]) -> str:
    room_s = answer["journal"]["room_s"]
    return f", the journal has room for {lasting(room_s * 1_000)}" if room_s is not None else ""


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
