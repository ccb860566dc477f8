"""head: the page's title, which graph, how many devices, since when."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from panel_app.components.pipeline.sparkline import sparkline
from panel_app.components.render import render
from panel_app.words import instant, lasting, number, when

_HOUR_STEPS = 360


def head(answer: Mapping[str, Any] | None) -> Markup:
    """Write it; the title alone while nothing is known."""
    if answer is None:
        return render("pipeline/head", facts=(), graph="", spark="", hour="")
    since, devices = instant(answer["since"]), answer["devices"]
    known = number(devices["known"])
    online = "" if devices["online"] is None else f", {number(devices['online'])} online"
    steps = answer["received_10s"]
    return render(
        "pipeline/head",
        graph=answer["graph"],
        facts=(
            f"{known} device{'' if devices['known'] == 1 else 's'}{online}",
            f"since start {when(since, answer['at'], 'UTC')} UTC, {lasting(max(0, answer['at'] - since))}",
        ),
        spark=sparkline([float(count) for count in steps], _HOUR_STEPS) if steps else "",
        hour=f"{number(sum(steps))} received in the last {lasting(len(steps) * 10_000)}",
    )
