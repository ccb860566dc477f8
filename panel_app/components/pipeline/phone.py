"""phone: the graph as a list; drains hang under their node, the selected node opens in place."""

from markupsafe import Markup

from panel_app.components.pipeline.graph import LETTERS, Parts
from panel_app.components.render import render


def phone_list(parts: Parts, selected: str, panel: Markup | str) -> Markup:
    """Draw it. Says back: `select` with `node`. panel: what the selected node, or the dead letters, open."""
    return render(
        "pipeline/phone",
        cards=parts.cards,
        store=parts.store,
        sinks=parts.sinks,
        dead=parts.dead,
        newest=parts.newest,
        letters=LETTERS,
        letters_selected=selected == LETTERS,
        panel=panel,
    )
