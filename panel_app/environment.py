"""Environment: what only the browser knows of how the page is looked at."""

from pathlib import Path

import panel as pn
import param
from panel.custom import JSComponent

from panel_app.tokens import Theme


class Environment(JSComponent):
    """theme: in force; phone: a narrow screen. Known from cookies before the browser has told."""

    theme: Theme = param.Selector(objects=["light", "dark"])  # type: ignore[assignment]
    phone = param.Boolean()

    _esm = Path(__file__).parent / "environment.js"

    def __init__(self) -> None:
        theme: Theme = "dark" if pn.state.cookies.get("heatpump_theme") == "dark" else "light"
        super().__init__(theme=theme, phone=pn.state.cookies.get("heatpump_phone") == "1", width=0, height=0)
