"""Heat of a device without a flow meter, from the API to the chart."""

from pathlib import Path

import numpy as np
import pytest

from flows.model.times import HOUR_MS, iso
from flows.settings import load_settings
from panel_app.charts.stack import ChartStack
from tests.api.conftest import running
from tests.filled import fill, ordinary

START = 1_769_990_400_000


@pytest.mark.slow
def test_a_device_without_a_flow_meter_has_its_estimated_heat_drawn(tmp_path: Path) -> None:
    fill(tmp_path / "store.sqlite", range(START, START + 3 * HOUR_MS, 10_000))
    end = START + 3 * HOUR_MS
    stack = ChartStack("light")
    line = next(r for figure in stack.figures for r in figure.renderers if r.name == "heat_power")
    with running(load_settings(data=tmp_path), tmp_path / "store.sqlite") as api:

        def show(**more: str) -> None:
            ends = {"start": iso(START), "end": iso(end), "fields": ",".join(stack.fields)}
            stack.update(api.get("/api/devices/site1/series", params=ends | more).json(), now=end)

        show(resolution="1m")
        assert not line.data_source.data["at"].size
        for resolution in ("1m", "1h"):
            show(resolution=resolution)
            shown = line.data_source.data["value"] * 1000
            assert shown.size == {"1m": 180, "1h": 3}[resolution]
            electric = ordinary(START)["power"]
            assert np.all((shown > 2 * electric) & (shown < 6 * electric))
    assert line.glyph.line_dash == [8, 4]
    assert stack._face.content["panes"][2]["rows"][0]["about"] == "≈ "
