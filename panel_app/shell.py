"""The shell around every page: bar, navigation, theme; the page itself is put in its middle."""

from itertools import groupby
from pathlib import Path
from typing import Any

import panel as pn

from panel_app.bar import Bar
from panel_app.components.render import icon
from panel_app.environment import Environment
from panel_app.pages import Page
from panel_app.session import Session
from panel_app.site import Site
from panel_app.tokens import css_variables

_FOLDER = Path(__file__).parent
_TEMPLATE = (_FOLDER / "templates" / "shell.html").read_text()
_ATTEND = (_FOLDER / "assets" / "attend.js").read_text()
"""Stands in the page itself: it must run though the server is gone a moment later."""


def serve_page(site: Site, pages: list[Page], page: Page, version: str) -> Any:
    """Make a session's page, whole."""
    session = Session(site)
    pages = [each for each in pages if site.account.has_all or not each.needs_all]
    environment = Environment()
    template = pn.Template(_TEMPLATE)
    template.location = True  # what is chosen goes into the URL
    variables = {
        "page": page,
        "sections": [(name, list(group)) for name, group in groupby(pages, lambda each: each.section)],
        "pages": pages,
        "icon": icon,
        "light": css_variables("light"),
        "dark": css_variables("dark"),
        "version": version,
        "word": site.word,
        "account": site.account,
        "attend": _ATTEND,
    }
    for name, value in variables.items():
        template.add_variable(name, value)
    bar = Bar(session, pages, page)
    template.add_panel("bar", bar.choice)
    template.add_panel("pulse", bar.pulse)
    template.add_panel("bell", bar.bell)
    template.add_panel("environment", environment)
    template.add_panel("main", page.open(session, environment))
    return template
