"""walk: the way of a message from the broker to the page, up to the first broken link."""

from typing import Any

from markupsafe import Markup

from panel_app.components.device import Answer
from panel_app.components.render import render

_SHAPES = {"ok": "well", "broken": "critical", "waiting": "cannot-tell", "unknown": "open"}
_WORDS = {"ok": "well", "broken": "broken", "waiting": "waited for", "unknown": "not known"}


def walk(answer: Answer | None, waits: bool = False, command: str = "") -> Markup:
    """Draw the links, and what to do about the broken one.

    waits  : a message that has not come yet is no trouble: nobody has sent one, which the page says already.
    command : one that stands below the walk; the remedy's own is left out then.
    answer : of GET /api/walk: {"links": [{"link", "state": ok | broken | unknown, "detail"}], "broken",
             "sentence", "remedy"}; None while it is not known, which draws nothing.
    """
    if not answer:
        return Markup("")
    sentence, remedy = (str(answer.get(part) or "") for part in ("sentence", "remedy"))
    if waits and answer.get("broken") == "message":
        sentence = ""
    said = [part for part in (sentence, remedy) if part]
    # Commands stand between backticks: every second piece is one.
    pieces = " ".join(said).split("`")
    if command and len(pieces) > 1 and "simulate_device" in pieces[1]:
        pieces = [pieces[0]]
    return render("walk", links=_links(answer, waits), pieces=pieces if said else [])


def _links(answer: Answer, waits: bool) -> list[dict[str, Any]]:
    links = []
    for link in answer.get("links", []):
        state = str(link.get("state"))
        state = state if state in _SHAPES else "unknown"
        if waits and state == "broken" and link.get("link") == "message":
            state = "waiting"
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
