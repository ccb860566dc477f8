"""What tests of the Overview page send, and where they look for it."""

from typing import Any

from playwright.sync_api import Page

MINUTE = 60_000
FULL: dict[str, Any] = {
    "version": "1.4.0",
    "temperature": {
        "inlet": 28.5,
        "outlet": 32.8,
        "ambient": 3.8,
        "compressor": 58.2,
        "indoor": 21.2,
        "dhw": 42.0,
    },
    "electrical": {"voltage": 231.4, "current": 5.8, "power": 1321.0},
    "pressure": {"high": 303.0, "low": 93.0},
    "status": {"compressor": True, "fan": True, "defrost": False, "dhw": False},
    "hydraulic": {"flow": 18.2, "pressure": 1.6},
    "setpoint": {"flow": 32.2, "indoor": 21.0, "dhw": 50.0},
}


def drawn(page: Page, column: str = "value") -> dict[str, list[float]]:
    """What the figures really hold, by name of what draws it."""
    script = """(column) => {
      const found = {};
      for (const model of Bokeh.documents[0]._all_models.values())
        if (model.type === 'GlyphRenderer' && model.name && model.data_source.data.value !== undefined)
          found[model.name] = [...model.data_source.data[column]].filter((value) => Number.isFinite(value));
      return found; }"""
    return dict(page.evaluate(script, column))


def cell(page: Page, label: str) -> Any:
    """A cell of the strip of newest values."""
    return page.locator(".cell", has=page.get_by_text(label, exact=True)).first
