"""tape: the journal as a tape, its time scale logarithmic: just written at the left, about to go at the right."""

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from markupsafe import Markup

from panel_app.components.pipeline.samples import Sample, rate, rates
from panel_app.components.pipeline.sparkline import sparkline
from panel_app.components.pipeline.text import milliseconds, per_second, size
from panel_app.components.render import render
from panel_app.words import NOTHING, lasting, number, with_unit

FIRST_S = 0.1
AMBER_MS = 60_000
DAY_S = 86_400
_TICKS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3_600, "1 h"), (DAY_S, "1 d"))
_ROOM_FOR_WORDS = 22.0
"""A part this wide can carry its own words. [%]"""


def place(seconds: float, last_s: float) -> float:
    """Place an age on the tape. [%, 0 … 100]"""
    if seconds <= FIRST_S:
        return 0.0
    return round(min(log10(seconds / FIRST_S) / log10(max(last_s, 1.0) / FIRST_S), 1.0) * 100, 1)


def oldest_unread_ms(answer: Mapping[str, Any]) -> int:
    """Say how long the oldest unread message waits, 0 where there is none. [ms]"""
    return answer["behind_ms"] if answer["unread"] else 0


def tape(answer: Mapping[str, Any], samples: Sequence[Sample]) -> Markup:
    """Draw broker and journal: solid is unread, tinted is read and kept, the marker is where the flow reads."""
    journal, waits = answer["journal"], oldest_unread_ms(answer)
    last_s = journal["kept_at_most_s"]
    head, kept = place(waits / 1_000, last_s), place(journal["kept_s"] or 0, last_s)
    unread = f"{number(answer['unread'])} message{'' if answer['unread'] == 1 else 's'}"
    room_s = journal["room_s"]
    return render(
        "pipeline/tape",
        rate=per_second(rate(samples, "broker")),
        spark=sparkline(rates(samples, "broker")),
        connected=journal["connected"],
        problem=journal["problem"],
        unacknowledged=number(journal["unacknowledged"]),
        messages=number(journal["messages"]),
        seq=number(journal["last_seq"]),
        late=waits >= AMBER_MS,
        blocked=bool(answer["store"]["waiting"]),
        unread=unread,
        oldest=_waits(waits) if answer["unread"] else NOTHING,
        sync=milliseconds(journal["sync_ms_p99"]),
        written=f"{size(journal['written_per_s'])}/s" if journal["written_per_s"] is not None else NOTHING,
        kept_for=lasting((journal["kept_s"] or 0) * 1_000),
        kept_bytes=size(journal["bytes"]),
        room=size(journal["room_bytes"]),
        room_for=NOTHING if room_s is None else _room(room_s),
        little_room=room_s is not None and room_s < DAY_S,
        head=head,
        kept=max(kept, head),
        ticks=[(place(at, last_s), words) for at, words in _TICKS if at < last_s],
        end=lasting(last_s * 1_000),
        word_inside=head >= _ROOM_FOR_WORDS,
        word_kept=max(kept, head) - head >= (_ROOM_FOR_WORDS if head >= _ROOM_FOR_WORDS else 2 * _ROOM_FOR_WORDS),
    )


def _waits(ms: int) -> str:
    return with_unit(number(ms / 1_000, 1), "s") if ms < 10_000 else lasting(ms)


def _room(seconds: int) -> str:
    return "> 1 y" if seconds > 365 * DAY_S else lasting(seconds * 1_000)
