"""graph: nodes and sinks as they are joined, in rows of at most six nodes, so that any graph fits."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from panel_app.components.pipeline.nodes import Card, cards
from panel_app.components.pipeline.samples import Sample
from panel_app.components.pipeline.sinks import SinkCard, dead_reasons, live, newest_letter, others, store
from panel_app.components.pipeline.text import width
from panel_app.components.render import render

MOST_IN_A_ROW = 6
LETTERS = ":dead-letters"
"""What is selected where it is no step but the dead letters of all; no step can be called so."""


class Row(msgspec.Struct, frozen=True):
    """Nodes beside each other. first: grid row of their cards; bus: column of the first that has dead letters."""

    cards: list[Card]
    first: int
    bus: int
    last: bool


class Parts(msgspec.Struct, frozen=True):
    """What both the graph and the phone's list are drawn from."""

    cards: list[Card]
    store: SinkCard
    sinks: list[SinkCard]
    dead: str
    reasons: tuple[tuple[str, str], ...]
    newest: str


def parts_of(answer: Mapping[str, Any], samples: Sequence[Sample], selected: str) -> Parts:
    """Make the cards of nodes and sinks."""
    return Parts(
        cards(answer, samples, selected),
        store(answer, samples),
        [live(answer, samples), *others(answer)],
        *dead_reasons(answer),
        newest_letter(answer),
    )


def graph(parts: Parts, selected: str) -> Markup:
    """Draw it for a wide screen. Says back: `select` with `node`."""
    rows = _rows(parts.cards)
    columns = max((len(row.cards) for row in rows), default=1)
    last = rows[-1] if rows else None
    return render(
        "pipeline/graph",
        rows=rows,
        columns=columns,
        store=parts.store,
        sinks=parts.sinks,
        dead=parts.dead,
        reasons=parts.reasons,
        newest=parts.newest,
        letters=LETTERS,
        letters_selected=selected == LETTERS,
        last=last,
        end_from=len(last.cards) + 1 if last else 1,
        end_width=width(0) if last is None or parts.store.why else last.cards[-1].width,
        end_dots=0 if last is None or parts.store.why else last.cards[-1].dots,
        riser=[row for row in rows[1:] if row.bus],
    )


def _rows(drawn: list[Card]) -> list[Row]:
    lines = -(-len(drawn) // MOST_IN_A_ROW)
    wide = -(-len(drawn) // lines) if lines else 0
    rows = []
    for line in range(lines):
        part = drawn[line * wide : (line + 1) * wide]
        bus = next((column for column, card in enumerate(part, 1) if card.has_dead), 0)
        rows.append(Row(part, 4 * line + 1, bus, line == lines - 1))
    return rows
