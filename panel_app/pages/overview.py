"""Overview: one device now and lately."""

import panel as pn

from panel_app.environment import Environment
from panel_app.fragment import Fragment
from panel_app.pages import Page
from panel_app.session import Session


def overview(session: Session, environment: Environment) -> pn.viewable.Viewable:
    """Open the page."""
    return pn.Column(Fragment("<h1>hello</h1>"), sizing_mode="stretch_width")


PAGE = Page("", "Overview", "layout-dashboard", 0, overview)
