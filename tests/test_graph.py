"""The graph file: every mistake is one sentence that names the line."""

from pathlib import Path

import pytest

from flows.errors import ConfigError
from flows.graph import describe, load_graph
from flows.registry import all_nodes

SHIPPED = Path(__file__).parent.parent / "flows" / "graphs" / "heat_pump.toml"


def test_the_shipped_graph_is_one_pipe_through_every_node():
    graph = load_graph(SHIPPED)
    assert [step.id for step in graph.steps] == [
        "decode", "validate", "clock", "device", "history", "derive", "rollup", "episode", "alert",
    ]  # fmt: skip
    assert {step.node.name for step in graph.steps} == set(all_nodes())


def test_every_node_states_in_out_and_state_and_names_its_ports_in_its_text():
    for node in all_nodes().values():
        for word in ("In ", "Out ", "State"):
            assert f"\n{word}" in node.doc, f"{node.name} does not state {word}"
        for port in node.out:
            assert port in node.doc
        assert (Path(__file__).parent / "nodes" / f"test_{node.name}.py").exists(), f"{node.name} has no test"


def test_the_text_and_the_mermaid_drawing_name_every_step_and_port():
    graph = load_graph(SHIPPED)
    for form in ("text", "mermaid"):
        drawing = describe(SHIPPED, form)
        for edge in graph.edges:
            assert edge.step in drawing and edge.port in drawing and edge.sink in drawing


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ('node = "validate"', 'node = "validat"', 9, "is no node; there are alert, clock"),
        ('up = "decode.items"', 'up = "decode.itms"', 10, "names no port of decode"),
        ('up = "decode.items"', 'up = "decod.items"', 10, "names no step"),
        ('up = "decode.items"', 'up = "decode.dead"', 10, "is a side port"),
        ('up = "decode.items"', 'up = ["decode.items", "journal"]', 10, "merging branches upstream of state"),
        ('up = "decode.items"', 'up = "alert.items"', 10, "cycle"),
        ('up = "clock.dated"', 'up = "validate.ok"', 18, "already feeds another step"),
        ('"validate.dead", ', "", 9, "leads nowhere"),
        ("[sink.live]", "[sink.nowhere]", 46, "is no sink"),
        ('node = "rollup"', 'node = "rollup"\nminutes_a_tick = "many"', 30, "minutes_a_tick"),
        ('node = "rollup"', 'node = "rollup"\nspeed = 3', 30, "speed"),
        ('node = "validate"', 'node = ["validate"]', 9, "is no node"),
        (
            'node = "validate"',
            'node = "validate"\nspans = {temp_inlet = [90, 20]}',
            10,
            "lowest 90.0 is above highest 20.0",
        ),
        (
            'up = ["clock.repeated", "derive.live", "alert.transitions"]',
            'up = "alert.transitions"',
            47,
            "must be a list",
        ),
        ('up = ["clock.repeated", "derive.live", "alert.transitions"]', "up = [1]", 47, "must be a list"),
        ("[step.decode]", "[step]\nfoo = 1\n[step.decode]", 5, "is no table"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, old, new, line, sentence):
    text = SHIPPED.read_text()
    assert old in text
    path = tmp_path / "graph.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_graph(path)
    assert f"graph.toml:{line} " in str(caught.value)


@pytest.mark.parametrize("text", ["step = 3", "sink = 3\n[step.decode]", "[step]\ndecode = 3", "[[step]]"])
def test_a_file_of_another_shape_is_named(tmp_path, text):
    path = tmp_path / "graph.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no table"):
        load_graph(path)


def test_a_file_that_is_missing_empty_or_no_toml_is_named(tmp_path):
    path = tmp_path / "graph.toml"
    with pytest.raises(ConfigError, match="No such file"):
        load_graph(path)
    path.write_text("")
    with pytest.raises(ConfigError, match=r"has no \[step"):
        load_graph(path)
    path.write_text("[step.decode\n")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_graph(path)
