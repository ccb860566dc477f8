"""conservation: where every reading went, as a sum that closes, or says by how much and where it does not."""

from collections.abc import Mapping
from typing import Any, Literal

from markupsafe import Markup

from panel_app.components.render import render
from panel_app.words import age, number, signed

Span = Literal["start", "1h", "60s"]
SPANS: dict[Span, str] = {"start": "Since start", "1h": "1 h", "60s": "60 s"}

_TERMS = (("stored", "="), ("duplicate", "+"), ("dead", "+"), ("dropped", "+"), ("in_flight", "+"))


def sums_of(answer: Mapping[str, Any], span: Span) -> dict[str, int]:
    """Give the sum's terms.

    Since the start, what the journal has and nobody read yet counts too, one a message, as received and in flight.
    """
    if span != "start":
        return dict(answer["windows"].get(span) or dict.fromkeys((*answer["conservation"], "seconds"), 0))
    sums, unread = answer["conservation"], answer["unread"]
    return {**sums, "received": sums["received"] + unread, "in_flight": sums["in_flight"] + unread}


def conservation(answer: Mapping[str, Any], span: Span) -> Markup:
    """Write the sum. Says back: `span` with `span`; `select` with `node` where it does not close."""
    sums = sums_of(answer, span)
    # What a span lost stays lost: the sum since the start says whether anything is missing.
    missing, where = answer["conservation"]["unexplained"], answer.get("astray") or ""
    lasts = sums.get("seconds", 0)
    short = span != "start" and lasts < {"1h": 3_600, "60s": 60}[span]
    return render(
        "pipeline/conservation",
        received=number(sums["received"]),
        terms=[(sign, _amount(name, sums[name], span), name.replace("_", " "), name) for name, sign in _TERMS],
        missing=number(abs(missing)),
        doubled=missing < 0,
        closes=missing == 0,
        where=where,
        is_step=any(node["step"] == where for node in answer["nodes"]),
        spans=[(name, label, name == span) for name, label in SPANS.items()],
        short=f"the process is {age(lasts * 1_000)} old" if short else "",
    )


def _amount(name: str, amount: int, span: Span) -> str:
    return signed(amount) if name == "in_flight" and span != "start" and amount else number(amount)
