"""letters: dead letters of one node, or of all, each with what was sent and a way to try it again."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from panel_app.components.render import render
from panel_app.words import clock, day, instant, number

_HEAD = 160

Letter = Mapping[str, Any]


def shown_letters(step: str) -> int:
    """Say how many are listed: beside a step fewer than of all, where `step` is ""."""
    return 5 if step else 12


def letters_of(
    letters: Sequence[dict[str, Any]], detail: Mapping[str, Any] | None, answer: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Pick those that a node refused: by reasons that it has counted; of those that none has, by its docstring.

    detail : of GET /api/pipeline/nodes/{step}; None for all letters.
    answer : of GET /api/pipeline, None while it is not known.
    """
    if detail is None:
        return list(letters)
    counted = {node["step"]: set(node["dead"]) for node in (answer or {}).get("nodes", ())}
    own, others = counted.pop(detail["step"], set()), set().union(*counted.values())
    named = set(re.findall(r"\w+", " ".join(out["text"] for out in detail["out"] if out["port"] == "dead")))
    return [letter for letter in letters if letter["reason"] in own | (named - others)]


def dead_letters(
    title: str,
    letters: Sequence[Letter] | None,
    bodies: Mapping[int, str],
    outcomes: Mapping[int, str],
    now_ms: int,
    most: int = 5,
    may_retry: bool = True,
) -> Markup:
    """List them. Says back: `retry` with `id`, `retry-all`.

    letters  : open ones, newest first; None while they are not known.
    bodies   : what was sent, by id. outcomes: what came of a retry, by id. may_retry: whether the reader may.
    """
    known = letters or ()
    shown = [
        {
            "id": letter["id"],
            "when": _when(letter["arrived"], now_ms),
            "device": letter["device_id"] or letter["topic"],
            "reason": letter["reason"],
            "detail": letter["detail"],
            "body": bodies.get(letter["id"], "")[:_HEAD],
            "cut": len(bodies.get(letter["id"], "")) > _HEAD,
            "tried": _tried(letter),
            "outcome": outcomes.get(letter["id"], ""),
        }
        for letter in known[:most]
    ]
    return render(
        "pipeline/letters",
        title=title,
        known=letters is not None,
        letters=shown,
        count=number(len(known)),
        more=number(max(len(known) - most, 0)),
        several=may_retry and len(known) > 1,
        may_retry=may_retry,
        finished=[
            outcome for letter_id, outcome in outcomes.items() if letter_id not in {each["id"] for each in known}
        ][-3:],
    )


def _when(arrived: str, now_ms: int) -> str:
    then = instant(arrived)
    time = clock(then, "UTC", seconds=True)
    return time if day(then, "UTC") == day(now_ms, "UTC") else f"{day(then, 'UTC')} {time}"


def _tried(letter: Letter) -> str:
    attempts = letter["attempts"]
    if not attempts:
        return "not retried"
    times = {1: "once", 2: "twice"}.get(attempts, f"{attempts} times")
    return f"retried {times}, {letter['last_reason'] or letter['reason']} again"
