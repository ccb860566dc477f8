"""`heatpump import` against a running flow: beside live readings, interrupted, killed, repeated, tried out."""

import json
import math
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.errors import FlowDown
from flows.history.client import Client
from flows.history.mapping import load_mapping
from flows.history.run import import_id_of
from flows.lock import locked
from flows.model.times import HOUR_MS
from flows.settings import load_settings
from tests.brokers import Mosquitto
from tests.cli.heatpump import HEATPUMP, Running, heatpump
from tests.flows import Device, Flow, wait_for
from tests.history.formats import iso

pytestmark = pytest.mark.slow

START = 1_640_995_200_000  # 2022-01-01T00:00Z
STEP = 300_000
ROWS = 60_000
MAPPING = """
[quantity.power]
field = "p"
[quantity.temp_outlet]
field = "out"
[quantity.temp_inlet]
field = "in"
[quantity.flow_rate]
field = "flow"
"""


@pytest.fixture
def flow(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Flow]:
    flow = Flow(tmp_path / "data", mosquitto.port).start()
    yield flow
    flow.kill()


@pytest.fixture
def history(tmp_path: Path) -> list[str]:
    """Arguments that import 208 days of a CSV, one row of which is unreadable and one out of range."""
    lines = ["time,p,out,in,flow"]
    for n in range(ROWS):
        wave = math.sin(n / 40)
        lines.append(f"{iso(START + n * STEP)},{1500 + 500 * wave:.1f},{40 + 4 * wave:.2f},{35 + 3 * wave:.2f},18")
    lines[100] = "yesterday,1,2,3,4"
    lines[200] = lines[200].rpartition(",")[0] + ",999"
    (tmp_path / "logger.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "map.toml").write_text(MAPPING)
    return ["import", "csv", str(tmp_path / "logger.csv"), "--device", "old", "--map", str(tmp_path / "map.toml")]


def standing(flow: Flow, history: list[str]) -> dict[str, Any]:
    mapping = load_mapping(Path(history[-1]), "csv")
    return flow.ask(f"/history/old/{import_id_of('csv', history[2], 'old', mapping)}")


def stored(flow: Flow) -> dict[tuple[str, int], Any]:
    def ask(reader: Any) -> dict[tuple[str, int], Any]:
        return {
            (resolution, row.start): (row.count, row.values, row.heat_source)
            for resolution in ("1m", "1h", "1d")
            for row in reader.rollups("old", resolution, 0, 1 << 43, 1_000_000)
        }

    return flow.read(ask)


def kwh(report: str) -> dict[str, tuple[float, float]]:
    found = re.findall(r"^(\d{4}-\d\d) +([\d.]+) +([\d.]+)", report, re.MULTILINE)
    return {month: (float(electric), float(heat)) for month, electric, heat in found}


def months(flow: Flow) -> dict[str, tuple[float, float]]:
    """Energies of stored hours, by month."""
    sums: dict[str, list[float]] = {}
    for (resolution, start), (_, values, _) in stored(flow).items():
        if resolution == "1h":
            total = sums.setdefault(iso(start)[:7], [0.0, 0.0])
            total[0] += sum(value for name, value in values.items() if name.startswith("electric_kwh_"))
            total[1] += sum(value for name, value in values.items() if name in HEAT)
    return {month: (round(electric, 1), round(heat, 1)) for month, (electric, heat) in sums.items()}


HEAT = [f"heat_kwh_{mode}" for mode in ("space", "dhw", "cooling", "defrost", "standby", "unknown")]


def test_history_comes_beside_live_readings_and_the_report_is_what_is_stored(flow: Flow, history, mosquitto):
    tried = heatpump(*history, "--dry-run", HEATPUMP_DATA=flow.data)
    assert tried.returncode == 0, tried.stderr
    assert [device.device_id for device in flow.read(lambda reader: reader.devices())] == []

    device = Device(mosquitto.port, "new")
    importing = Running([*HEATPUMP, *history], flow.data / "import.log", HEATPUMP_DATA=flow.data)
    sent = 0
    while importing.process.poll() is None:
        device.reading()
        sent += 1
    device.close()
    assert importing.process.returncode == 0, importing.said
    report = importing.said[importing.said.index("read  ") :]
    wait_for(flow.readings, lambda readings: readings == sent)
    assert sent > 20

    said = report.splitlines()
    assert said[0].split() == ["read", "60,000", "rows", "or", "points,", "59,999", "readings"]
    assert said[1].split() == ["taken", "59,999", "readings"]
    assert "           1  no time in time, first row 101: 'yesterday' (time_format \"iso\")" in said
    assert "           1  flow_rate: out of range" in said
    assert kwh(report) == months(flow)
    assert len(kwh(report)) == 7
    assert said[2:] == tried.stdout.splitlines()[2:-1], "the dry run says the same"

    before = stored(flow)
    again = heatpump(*history, HEATPUMP_DATA=flow.data)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == said
    assert stored(flow) == before
    listed = flow.read(lambda reader: reader.devices())
    assert [(device.device_id, device.last_seen > 0) for device in listed] == [("new", True), ("old", False)]
    assert listed[1].latest["power"][0] == START + (ROWS - 1) * STEP
    assert flow.read(lambda reader: reader.alerts(None, 0, 1 << 43, 10)) == []
    closed = flow.ask("/pipeline")["conservation"]
    assert closed["received"] == closed["stored"] + closed["in_flight"] + closed["duplicate"]


def test_an_interrupted_import_goes_on_where_it_stood_and_a_killed_flow_is_waited_for(
    flow: Flow, history, tmp_path
):
    once = Flow(tmp_path / "whole", 1)  # no broker there: an import needs none
    once.launch()
    wait_for(lambda: once.health() is not None)
    assert heatpump(*history, HEATPUMP_DATA=once.data).returncode == 0
    expected = stored(once)
    once.kill()

    first = Running([*HEATPUMP, *history], tmp_path / "first.log", HEATPUMP_DATA=flow.data)
    wait_for(lambda: standing(flow, history)["next"], lambda number: number >= 3)
    assert first.end(signal.SIGINT) == 130
    assert first.said.endswith("stopped; the same command goes on from here\n")
    stood = wait_for(lambda: standing(flow, history))
    assert 3 <= stood["next"] < 30
    assert not stood["ended"]

    second = Running([*HEATPUMP, *history], tmp_path / "second.log", HEATPUMP_DATA=flow.data)
    wait_for(lambda: standing(flow, history)["next"], lambda number: number >= stood["next"] + 3)
    flow.signal(signal.SIGKILL)
    flow.ended()
    flow.start()
    assert second.process.wait(300) == 0, second.said
    assert standing(flow, history)["ended"]
    assert stored(flow) == expected


def test_a_flow_that_up_starts_again_is_waited_for_and_one_that_nobody_starts_is_not(tmp_path):
    flow, waits = Flow(tmp_path / "data", 1), []
    flow.data.mkdir(mode=0o700)
    client = Client(load_settings(data=flow.data), "old", "0" * 32, waits.append)
    with pytest.raises(FlowDown, match="is not running, or not yet"):
        client.standing()
    assert waits == []
    with locked(flow.data / "up.lock"), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.standing)
        wait_for(lambda: waits)
        flow.launch()
        try:
            assert asked.result(60).next == 0
        finally:
            flow.kill()


def test_a_source_that_has_grown_gives_only_what_is_new(flow: Flow, history, tmp_path):
    lines = Path(history[2]).read_text().splitlines(keepends=True)
    Path(history[2]).write_text("".join(lines[:20_000]))
    assert heatpump(*history, HEATPUMP_DATA=flow.data).returncode == 0
    read = standing(flow, history)["read"]
    Path(history[2]).write_text("".join(lines[:30_000]))
    done = heatpump(*history, HEATPUMP_DATA=flow.data)
    assert done.returncode == 0, done.stderr
    assert standing(flow, history)["read"] == read + 10_000
    assert kwh(done.stdout) == months(flow)
    assert "--again" not in done.stdout


def test_what_a_source_has_more_before_what_was_imported_is_counted_and_comes_with_another_again(
    flow: Flow, history
):
    lines = Path(history[2]).read_text().splitlines(keepends=True)
    Path(history[2]).write_text("".join([lines[0], *lines[1_000:2_000]]))
    assert heatpump(*history, HEATPUMP_DATA=flow.data).returncode == 0
    Path(history[2]).write_text("".join([lines[0], *lines[990:2_005]]))
    said = "          10  new, but earlier than what was imported before: another --again takes it"
    done = heatpump(*history, HEATPUMP_DATA=flow.data)
    assert done.stdout.splitlines()[:4] == [
        "read           1,015 rows or points, 1,005 readings",
        "taken          1,005 readings",
        "refused           10",
        said,
    ]
    assert said not in heatpump(*history, "--again", "1", HEATPUMP_DATA=flow.data).stdout
    assert min(start for resolution, start in stored(flow) if resolution == "1h") == START + 82 * 12 * STEP


def test_what_a_counter_rose_over_the_end_of_an_import_is_counted_and_comes_with_another_again(
    flow: Flow, tmp_path
):
    source = tmp_path / "points.csv"
    quantities = "".join(f'[quantity.{name}]\nfield="{name}"\n' for name in ("electric_energy", "temp_outlet"))
    (tmp_path / "map.toml").write_text(
        f'[source]\ntime_format="unix_ms"\nname="name"\nvalue="value"\nhold="1h"\n{quantities}'
    )
    command = ["import", "csv", str(source), "--device", "old", "--map", str(tmp_path / "map.toml")]
    hours = [f"{START + hour * HOUR_MS},electric_energy,{hour}\n" for hour in range(4)]
    temperature = f"{START + HOUR_MS * 5 // 2},temp_outlet,35\n"  # half an hour after the counter's newest value
    source.write_text("".join(["time,name,value\n", *hours[:3], temperature]))
    assert heatpump(*command, HEATPUMP_DATA=flow.data).returncode == 0
    source.write_text("".join(["time,name,value\n", *hours[:3], temperature, hours[3]]))
    done = heatpump(*command, HEATPUMP_DATA=flow.data)
    assert "2  new, but earlier than what was imported before: another --again takes it" in done.stdout
    assert sum(electric for electric, _ in kwh(done.stdout).values()) < 2.5
    assert "--again" not in heatpump(*command, "--again", "1", HEATPUMP_DATA=flow.data).stdout
    assert sum(electric for electric, _ in months(flow).values()) == 3.0


def test_without_a_flow_it_says_what_to_do(history, tmp_path):
    done = heatpump(*history, HEATPUMP_DATA=tmp_path / "nothing")
    assert done.returncode == 2
    assert "the flow is not running" in done.stderr


def test_the_port_refuses_what_is_no_chunk(flow: Flow):
    import urllib.error
    import urllib.request

    port = json.loads((flow.data / "run" / "flow.json").read_text())["command_port"]
    token = (flow.data / "secrets" / "command-token").read_text().strip()
    for body, status in [(b"no", 422), (b"x" * 1_000_001, 413)]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/history", data=body, headers={"Authorization": f"Bearer {token}"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == status
        refused.value.close()
