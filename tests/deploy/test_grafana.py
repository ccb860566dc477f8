"""Grafana's dashboards: whole as files, and every question of theirs asked of a real server, as Grafana asks it."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.model.device import DeviceMetadata
from flows.model.quantities import MODES
from flows.model.times import now_ms
from flows.store.influx.server import InfluxServer
from tests.filled import Values, fill, ordinary
from tests.store.conftest import DAY, HOUR, KINDS, MINUTE, StoreUnderTest, transition

GRAFANA = Path(__file__).parent.parent.parent / "deploy" / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
UNITS = {"none", "celsius", "kelvin", "watt", "kwatth", "percentunit", "pressurepsi", "volt", "amp"}
"""Of Grafana's own, those in use."""

Row = dict[str, str]


def panels() -> list[Any]:
    return [
        pytest.param(board, panel, id=f"{board.stem}: {panel['title']}")
        for board in BOARDS
        for panel in json.loads(board.read_text())["panels"]
    ]


def board_of(path: Path) -> Any:
    return json.loads(path.read_text())


def test_there_is_a_dashboard_of_the_fleet_and_one_of_a_device():
    assert [board.stem for board in BOARDS] == ["device", "fleet"]
    assert len({board_of(board)["uid"] for board in BOARDS}) == 2


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_has_an_id_and_a_place_of_its_own_a_unit_and_words(path: Path):
    board = board_of(path)
    ids = [panel["id"] for panel in board["panels"]]
    assert len({*ids}) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["title"] and panel["description"].endswith(".")
        units = [panel["fieldConfig"]["defaults"]["unit"]]
        units += [
            each["value"]
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "unit"
        ]
        assert {*units} <= UNITS
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert cells.isdisjoint(taken)
        taken |= cells


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_everything_asks_the_one_datasource_that_is_provisioned(path: Path):
    provisioned = (GRAFANA / "provisioning/datasources/heatpump.yaml").read_text()
    (uid,) = re.findall(r"^    uid: (\S+)$", provisioned, re.MULTILINE)

    def asked(part: Any) -> Iterator[Any]:
        if isinstance(part, dict):
            if "datasource" in part:
                yield part["datasource"]
            for each in part.values():
                yield from asked(each)
        elif isinstance(part, list):
            for each in part:
                yield from asked(each)

    found = [*asked(board_of(path))]
    assert len(found) > 10
    assert all(each == {"type": "influxdb", "uid": uid} for each in found)


def test_no_address_and_no_secret_stands_in_a_file():
    for path in GRAFANA.rglob("*.*"):
        assert not re.search(r"https?://|password", path.read_text()), path
    provisioned = (GRAFANA / "provisioning/datasources/heatpump.yaml").read_text()
    for name in ("INFLUXDB_URL", "INFLUXDB_ORG", "INFLUXDB_BUCKET", "INFLUXDB_TOKEN"):
        assert f"${name}\n" in provisioned


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_only_variables_that_the_dashboard_has_stand_in_its_questions(path: Path):
    board = board_of(path)
    known = {variable["name"] for variable in board["templating"]["list"]}
    texts = [target["query"] for panel in board["panels"] for target in panel["targets"]]
    texts += [variable["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    used = {name for text in texts for name in re.findall(r"\$\{(\w+)[:}]", text)}
    assert used == known - ({"device"} if path.stem == "fleet" else set())
    assert "mean(" not in "".join(text for text in texts if "COP" in text)


SPAN = 50 * HOUR
END = now_ms() // HOUR * HOUR
START = END - SPAN


def measured(at: int) -> Values:
    """A machine that runs two thirds of each hour, and all that the dashboards show of it."""
    runs = at % HOUR < 40 * MINUTE
    return {
        **ordinary(at),
        "temp_compressor": 70.0,
        "temp_indoor": 21.0,
        "temp_dhw": 48.0,
        "power": 1500.0 + at % HOUR / 10_000 if runs else 20.0,
        "backup_power": 0.0,
        "voltage": 230.0,
        "current": 6.5,
        "pressure_high": 300.0,
        "pressure_low": 90.0,
        "flow_rate": 15.0 if runs else 0.0,
        "compressor_running": runs,
        "defrost_active": False,
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    """A server store of two devices, of now, with an alert."""
    made = KINDS["influx"](tmp_path_factory.mktemp("store"))
    metadata = [DeviceMetadata(refrigerant="R410A")]
    for device in ("site1", "site2"):
        fill(made.address, range(START, END + MINUTE, MINUTE), device, measured, metadata)  # type: ignore[arg-type]
    made.apply(
        transition("raised", 9_000, END - 5 * HOUR),
        transition("cleared", 9_001, END - 4 * HOUR, value=None),
    )
    yield made
    made.close()


def ask(store: StoreUnderTest, board: Any, query: str) -> list[Row]:
    """Ask as Grafana does: with the values of its variables in the text."""
    address = store.address
    values = {"bucket": address.bucket, "meta": address.meta, "device": "site1"}
    span = {"timeRangeStart": START, "timeRangeStop": END}
    for name, value in values.items():
        query = query.replace(f"${{{name}:json}}", json.dumps(value)).replace(f"${{{name}}}", value)
    for name, at in span.items():
        query = query.replace(f"v.{name}", f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}")
    query = query.replace("v.windowPeriod", "5m")
    assert "$" not in query and "v.time" not in query
    with closing(InfluxServer(address)) as server:
        return [dict(zip(block.names, row, strict=True)) for block in server.ask(query) for row in block.rows]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "panel"), panels())
def test_every_question_is_answered(store: StoreUnderTest, path: Path, panel: Any):
    for target in panel["targets"]:
        rows = ask(store, board_of(path), target["query"])
        assert rows, target["query"]
        if panel["type"] == "timeseries":
            assert all(row["_time"] for row in rows)
            wanted = {*re.findall(r'r\._field == "(\w+)"', target["query"])}
            assert {row["_field"] for row in rows if "_field" in row} >= wanted
        if path.stem == "device":
            assert {row["device_id"] for row in rows if "device_id" in row} <= {"site1"}


def told(store: StoreUnderTest, board: str, title: str) -> list[Row]:
    path = GRAFANA / "dashboards" / f"{board}.json"
    (panel,) = (panel for panel in board_of(path)["panels"] if panel["title"] == title)
    return ask(store, board_of(path), panel["targets"][0]["query"])


def hours(store: StoreUnderTest, kind: str, device: str = "site1") -> dict[int, float]:
    """Energy of each hour by our own reader. [kWh]"""
    rows = store.reader.rollups(device, "1h", START, END, 1_000)
    return {row.start: sum(row.values.get(f"{kind}_kwh_{mode}", 0.0) for mode in MODES) for row in rows}


def by_day(energies: dict[int, float]) -> dict[str, float]:
    """Sum hours up by UTC day, at whose begin, or that of the span, Grafana shows them."""
    found: dict[str, float] = {}
    for start, kwh in energies.items():
        at = max(start - start % DAY, START)
        found[iso(at)] = found.get(iso(at), 0.0) + kwh
    return found


def iso(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.slow
def test_the_numbers_are_those_of_our_reader(store: StoreUnderTest):
    electric, heat = hours(store, "electric"), hours(store, "heat")
    assert len(electric) == 50 and min(heat.values()) > 0.0
    cop = {row["_time"]: float(row["COP"]) for row in told(store, "device", "COP by hour")}
    assert cop == pytest.approx({iso(at): heat[at] / electric[at] for at in electric}, rel=1e-9)
    days = {name: by_day(energies) for name, energies in (("electricity", electric), ("heat", heat))}
    of_days = {at: days["heat"][at] / kwh for at, kwh in days["electricity"].items()}
    for board, title in (("device", "COP by day"), ("fleet", "COP by day")):
        rows = told(store, board, title)
        found = {row["_time"]: float(row["COP"]) for row in rows if row["device_id"] == "site1"}
        assert found == pytest.approx(of_days, rel=1e-9)
    rows = told(store, "device", "Energies by day")
    for name, energies in days.items():
        found = {row["_time"]: float(row["_value"]) for row in rows if row["kind"] == name}
        assert found == pytest.approx(energies, rel=1e-9)
    both = {name: 2 * sum(energies.values()) for name, energies in days.items()}
    assert float(told(store, "fleet", "Electricity")[0]["_value"]) == pytest.approx(both["electricity"], rel=1e-9)
    assert float(told(store, "fleet", "Heat")[0]["_value"]) == pytest.approx(both["heat"], rel=1e-9)
    assert told(store, "fleet", "Devices with readings")[0]["_value"] == "2"
    assert told(store, "fleet", "Alerts raised")[0]["_value"] == "1"
    changes = told(store, "device", "Alerts")
    assert [(row["state"], row["value"]) for row in changes] == [("cleared", ""), ("raised", "13.5")]


@pytest.mark.slow
def test_the_list_of_devices_is_that_of_the_store(store: StoreUnderTest):
    board = board_of(GRAFANA / "dashboards/device.json")
    (variable,) = (each for each in board["templating"]["list"] if each["name"] == "device")
    assert [row["_value"] for row in ask(store, board, variable["query"])] == ["site1", "site2"]


@pytest.mark.slow
def test_the_question_that_the_how_to_page_shows_gives_a_cop(store: StoreUnderTest):
    page = (GRAFANA.parent.parent / "docs/how-to/grafana.md").read_text()
    (query,) = re.findall(r'^```\n(import "strings"\n.*?)^```$', page, re.DOTALL | re.MULTILINE)
    rows = ask(store, None, query.replace("sensor_data", "${bucket}"))
    sums = {row["kind"]: float(row["_value"]) for row in rows}
    both = {kind: sum(hours(store, kind).values()) for kind in ("heat", "electric")}
    assert sums == pytest.approx({"heat": both["heat"], "electricity": both["electric"]}, rel=1e-9)
