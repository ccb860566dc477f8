"""A dry run computes with the node as the flow's graph has it."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from flows.cli.import_ import import_
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


@pytest.mark.parametrize(("cell", "code"), [("35", 0), ("warm", 1)])
def test_an_import_that_takes_nothing_has_exit_code_1_and_the_first_case_of_each_reason(tmp_path, cell, code):
    (tmp_path / "a.csv").write_text(f"time,t\n2024-10-10T06:00:00Z,{cell}\n1728540060,35\n")
    (tmp_path / "map.toml").write_text('[quantity.temp_inlet]\nfield="t"\n')
    app = typer.Typer()
    app.command()(import_)
    arguments = ["csv", str(tmp_path / "a.csv"), "--device", "a", "--map", str(tmp_path / "map.toml"), "--dry-run"]
    done = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path)], standalone_mode=False)
    assert done.return_value == code, done.output
    assert "1  no time in time, first row 3: '1728540060' (time_format \"iso\")\n" in done.output
    assert ("1  temp_inlet: no number, first 'warm'\n" in done.output) == (code == 1)
    assert ("nothing could be taken" in done.output) == (code == 1)
