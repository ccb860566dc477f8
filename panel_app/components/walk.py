"""walk: the way of a message from the broker to the page, up to the first broken link."""

from typing import Any

from markupsafe import Markup

from panel_app.components.device import Answer
from panel_app.components.render import render

_SHAPES = {"ok": "well", "broken": "critical", "waiting": "cannot-tell", "unknown": "open"}
_WORDS = {"ok": "well", "broken": "broken", "waiting": "waited for", "unknown": "not known"}


def walk(answer: Answer | None) -> Markup:
    """Draw the links, and what to do about the broken one.

    answer : of GET /api/walk: {"links": [{"link", "state": ok | broken | unknown, "detail"}], "broken",
             "sentence", "remedy"}; None while it is not known, which draws nothing.
    """
    if not answer:
        return Markup("")
    return render("walk", links=_links(answer), remedy=str(answer.get("remedy") or ""))


def _links(answer: Answer) -> list[dict[str, Any]]:
    links = []
    for link in answer.get("links", []):
        state = str(link.get("state"))
        state = state if state in _SHAPES else "unknown"
        links.append(
            {
                "name": str(link.get("link")),
                "detail": str(link.get("detail") or ""),
                "state": state,
                "shape": _SHAPES[state],
                "word": _WORDS[state],
            }
        )
    return links
