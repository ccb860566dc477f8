"""Fragment: a piece of the page as HTML, made by the server, kept up to date without losing focus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

Action = Callable[[dict[str, str]], Any]


class Fragment(JSComponent):
    """Shows `html`, which must be escaped already (see components/); what it may say back: see fragment.js.

    on : by name of an action what to do; it is given the element's data and value.
    """

    html = param.String()

    _esm = Path(__file__).parent / "fragment.js"
    _stylesheets: ClassVar = ["/assets/page.css", "/assets/components.css"]

    def __init__(self, html: str = "", on: dict[str, Action] | None = None, **params: Any) -> None:
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(html=html, **params)
        self._on = on or {}

    def _handle_msg(self, msg: Any) -> Any:
        act = self._on.get(str(msg.get("action"))) if isinstance(msg, dict) else None
        return act({str(name): str(value) for name, value in msg.items()}) if act else None
