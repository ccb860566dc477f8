"""render: data and a template in, HTML out; everything that comes from outside is escaped."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_ICONS = Path(__file__).parent.parent / "assets" / "icons"


@cache
def icon(name: str) -> Markup:
    """Give an icon of assets/icons as inline SVG; it says nothing by itself: words stand beside it."""
    svg = re.sub(r"<!--.*?-->\s*", "", (_ICONS / f"{name}.svg").read_text(), flags=re.DOTALL)
    return Markup(re.sub(r"\s+", " ", svg).strip().replace("<svg", '<svg aria-hidden="true"', 1))


def render(template: str, **values: object) -> Markup:
    """Fill templates/{template}.html; a value that it needs and does not get is an error."""
    return Markup(_environment().get_template(f"{template}.html").render(**values))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("panel_app"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["icon"] = icon
    return environment
