"""A dry run computes with the node as the flow's graph has it."""

import re
from pathlib import Path

import numpy as np
import pytest

from flows.errors import ConfigError
from flows.history.run import try_out
from flows.model.history import Standing
from flows.model.table import Table
from flows.settings import Settings, load_settings

SHIPPED = load_settings().graph.read_text()


def tried(graph: str, folder: Path) -> Standing:
    (folder / "graph.toml").write_text(graph)
    settings: Settings = load_settings(data=folder, graph=folder / "graph.toml")
    table = Table(np.array([1_728_540_000_000]), ("temp_inlet", "power"), np.array([[35.0, 1200.0]]))
    return try_out(settings, "site1", iter([table]), lambda *_: None)


def test_spans_of_the_graph_hold_in_a_dry_run(tmp_path):
    assert tried(SHIPPED, tmp_path).removed == {}
    narrowed = SHIPPED.replace('node = "history"', 'node = "history"\nspans = { temp_inlet = [0, 30] }')
    assert tried(narrowed, tmp_path).removed == {"temp_inlet: out of range": 1}


def test_a_wrong_span_is_named_with_its_step(tmp_path):
    wrong = SHIPPED.replace('node = "history"', 'node = "history"\nspans = { temp_inlet = [30, 0] }')
    said = r"\[step.history\] spans: .* cannot be used: spans.temp_inlet: \[30.0, 0.0\] lowest 30.0 is above"
    with pytest.raises(ConfigError, match=said):
        tried(wrong, tmp_path)


def test_a_graph_that_imports_nothing_is_refused(tmp_path):
    without = re.sub(r"\[step.history\][^[]*", "", SHIPPED.replace('"history.rows",', ""))
    with pytest.raises(ConfigError, match="has no step with the node history: it imports nothing"):
        tried(without.replace("history.items", "device.items"), tmp_path)
