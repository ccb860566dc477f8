"""The demo as people meet it: loaded by `up`, killed, started again, on another day; everything real, four days of it."""

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.demo.installation import Installation
from flows.demo.recording import DEVICE_ID, METADATA, load_recording, shift_days
from flows.demo.run import living
from flows.demo.sites import SITES, Began, import_id, note_of
from flows.model.rollup import RollupRow
from flows.settings import Settings, load_settings
from flows.store import open_reader
from tests.brokers import Mosquitto
from tests.cli.heatpump import Up, alive, heatpump
from tests.filled import fill
from tests.flows import Flow, wait_for
from tests.recorded import agrees, energies, whole_minute_spans

pytestmark = pytest.mark.slow

DAYS, FINE_DAYS = 4, 1
DAY_MS, HOUR_MS, LIVE_MS, FINE_MS, COARSE_MS = 86_400_000, 3_600_000, 5_000, 10_000, 300_000
HOUSES = [site.device_id for site in SITES]
LOADED = r"^demo: everything (is loaded, in \d+ s|was loaded already)$"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def begin(data: Path, at: int) -> Began:
    """Have the demo begin with few days of history."""
    data.mkdir(mode=0o700, exist_ok=True)
    began = Began(at // COARSE_MS * COARSE_MS, DAYS, FINE_DAYS)
    note_of(data).write_bytes(msgspec.json.encode(began))
    return began


def times(store: Path, device_id: str, start: int, end: int) -> list[int]:
    with closing(open_reader(store)) as reader:
        return reader.raw_columns(device_id, start, end, ["power"], 1_000_000).time


def hours(store: Path, device_id: str, start: int, end: int) -> list[RollupRow]:
    with closing(open_reader(store)) as reader:
        return reader.rollups(device_id, "1h", start, end, 10_000)


def longest_step(at: list[int]) -> int:
    return max(later - earlier for earlier, later in pairwise(at))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`up --demo`, killed with -9 in the midst of loading, started again and loaded."""
    data = tmp_path_factory.mktemp("demo") / "data"
    begin(data, now_ms())
    first = Up(data, "--demo")
    try:
        first.until_it_says("^demo: demo-bristol: the last days are loaded", 300)
        first.end(signal.SIGKILL)
        assert "100% of all" not in first.said and any((data / "run" / "demo").rglob("*.npz"))
    finally:
        first.clean_up()
    running = Up(data, "--demo")
    try:
        running.until_it_says(LOADED, 300)
        yield running
    finally:
        running.clean_up()


def ask(demo: Up, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.api_port}{path}", timeout=60) as answer:
        return json.load(answer)


def test_the_page_opens_before_anything_is_loaded_and_how_far_it_is_is_said(demo):
    lines = demo.said.splitlines()
    page = lines.index(f"http://127.0.0.1:{demo.panel_port}/")
    said = [place for place, line in enumerate(lines) if line.startswith("demo: ")]
    assert said and page < said[0]
    assert "demo: demo-malmo: the months before are loaded, 100% of all" in lines


def test_nothing_is_left_of_what_passed_through_files(demo):
    assert not [path for path in (demo.data / "run" / "demo").rglob("*") if path.is_file()]


def test_simulated_devices_say_so_and_the_recording_does_not(demo):
    marked = {
        device["device_id"]: ask(demo, f"/api/devices/{device['device_id']}/status")["attributes"].get("simulated")
        for device in ask(demo, "/api/devices")
    }
    assert marked == {**dict.fromkeys(HOUSES, "true"), DEVICE_ID: None}


def test_each_house_is_named_and_described(demo):
    for site in SITES:
        metadata = ask(demo, f"/api/devices/{site.device_id}/status")["metadata"]
        assert metadata["name"] == site.metadata.name and metadata["timezone"] == site.metadata.timezone
        assert metadata["refrigerant"] == site.metadata.refrigerant and metadata["spf_boundary"] in ("H2", "H4")


def test_no_hour_of_the_history_is_missing_or_doubled_though_its_loading_was_killed(demo):
    store = demo.data / "store.sqlite"
    began = msgspec.json.decode(note_of(demo.data).read_bytes(), type=Began)
    first = -(-began.start // HOUR_MS) * HOUR_MS
    coarse_end, last = began.recent // HOUR_MS * HOUR_MS, (now_ms() - 2 * HOUR_MS) // HOUR_MS * HOUR_MS
    for house in HOUSES:
        rows = hours(store, house, first, last)
        assert [row.start for row in rows] == list(range(first, last, HOUR_MS))
        assert {row.values["power_coverage"] for row in rows} == {1.0}
        assert {row.count for row in rows if row.start < coarse_end} == {HOUR_MS // COARSE_MS}
        # The first start's last six hours were sent live, every 5 s.
        fine = [row.count for row in rows if coarse_end + HOUR_MS < row.start < began.at - 7 * HOUR_MS]
        assert set(fine) == {HOUR_MS // FINE_MS}
        assert {row.count for row in rows if row.start > began.at - 5 * HOUR_MS} == {HOUR_MS // LIVE_MS}


def test_the_houses_live_on_where_their_history_ends(demo):
    store = demo.data / "store.sqlite"
    for house in HOUSES:
        newest = wait_for(lambda house=house: times(store, house, now_ms() - 20_000, now_ms()))
        at = times(store, house, newest[-1] - HOUR_MS, newest[-1] + 1)
        assert longest_step(at) <= FINE_MS
    assert {device["device_id"] for device in ask(demo, "/api/devices") if device["is_online"]} == set(HOUSES)


def test_indoors_nothing_jumps_between_history_and_life(demo):
    """A house stores heat: within ten seconds no room changes by as much as a tenth of a degree but for noise."""
    with closing(open_reader(demo.data / "store.sqlite")) as reader:
        for house in HOUSES:
            rooms = reader.raw_columns(house, now_ms() - HOUR_MS, now_ms(), ["temp_indoor"], 10_000)
            values = [value for value in rooms.values["temp_indoor"] if value is not None]
            steps = [abs(later - earlier) for earlier, later in pairwise(values)]
            assert len(steps) > 300 and max(steps) < 0.25


def test_the_recording_ends_yesterday_with_its_publishers_energies(demo):
    began = msgspec.json.decode(note_of(demo.data).read_bytes(), type=Began)
    with closing(open_reader(demo.data / "store.sqlite")) as reader:
        device = reader.device(DEVICE_ID)
        newest = max(at for at, _ in device.latest.values())
        days = {at // DAY_MS - 1: at for at in (now_ms(), began.at)}  # two around midnight
        assert newest // DAY_MS in days
        shift_ms = shift_days(days[newest // DAY_MS]) * DAY_MS
        assert device.metadata == [METADATA]
        for span in whole_minute_spans():
            minutes = reader.rollups(DEVICE_ID, "1m", span.start + shift_ms, span.end + shift_ms, 100_000)
            electric, heat = energies([minute.values for minute in minutes])
            assert agrees(electric, span.electric_kwh) and agrees(heat, span.heat_kwh), span.name


def test_status_lists_the_demo_as_healthy_and_a_second_one_is_refused(demo):
    done = heatpump("status", "--json", "--data", demo.data)
    processes = {process["name"]: process for process in json.loads(done.stdout)["processes"]}
    assert done.returncode == 0 and processes["demo"]["healthy"]
    second = heatpump("demo", "--data", demo.data, "--mqtt-port", demo.mqtt_port)
    assert second.returncode == 2 and f"in use by process {processes['demo']['pid']}" in second.stderr


def test_a_killed_house_has_the_demo_start_again(demo):
    said = len(demo.said)
    (pid,) = {process["pid"] for process in _status(demo) if process["name"] == "demo"}
    house = _children(pid)[0]
    os.kill(house, signal.SIGKILL)
    wait_for(lambda: re.search("^demo is ready again$", demo.said[said:], re.MULTILINE))
    assert "demo: heatpump: a simulated house has ended: start the demo again" in demo.said[said:]
    assert not alive(house) and len(_children(_status(demo)[-1]["pid"])) == len(SITES)


def test_stopped_and_started_again_it_loads_nothing_twice_and_nobody_is_called_offline(demo):
    """The last test on this installation: it ends it."""
    store = demo.data / "store.sqlite"
    houses, called_offline = _children(_status(demo)[-1]["pid"]), _offline_alerts(demo)
    assert demo.end() == 0 and "did not stop" not in demo.said
    assert not any(map(alive, houses))
    stopped = now_ms()
    before = {house: times(store, house, 0, stopped - HOUR_MS) for house in HOUSES}
    again = Up(demo.data)  # a folder that has the demo keeps it
    try:
        again.until_it_says(LOADED, 300)
        assert "recorded-altherma" not in again.said
        wait_for(lambda: times(store, HOUSES[0], now_ms() - 10_000, now_ms()))
        for house in HOUSES:
            assert times(store, house, 0, stopped - HOUR_MS) == before[house]
            assert longest_step(times(store, house, stopped - 600_000, now_ms())) <= FINE_MS
        assert _offline_alerts(again) == called_offline
    finally:
        again.clean_up()


def test_on_another_day_the_houses_go_on_without_a_hole_and_the_recording_moves(tmp_path, mosquitto: Mosquitto):
    data = tmp_path / "data"
    today = now_ms()
    yesterday = today - DAY_MS
    begin(data, yesterday)
    flow = Flow(data, mosquitto.port).start()
    elsewhere = Mosquitto(tmp_path / "elsewhere")  # what lives on the first day is heard by nobody
    elsewhere.start()
    try:
        with living(_settings(data, elsewhere.port), print, yesterday):
            assert len(times(flow.store, DEVICE_ID, 0, today)) > 3_900
            recorded = times(flow.store, DEVICE_ID, 0, today)
        with living(_settings(data, mosquitto.port), print, today):
            for house in HOUSES:
                wait_for(lambda house=house: times(flow.store, house, today - FINE_MS, today))
                at = times(flow.store, house, yesterday - 24 * HOUR_MS, today)
                assert longest_step(at) == FINE_MS and at[0] < yesterday - 23 * HOUR_MS
            assert times(flow.store, DEVICE_ID, 0, today) == [at + DAY_MS for at in recorded]
        settings = _settings(data, mosquitto.port)
        assert load_recording(Installation(settings), today) == 0
    finally:
        flow.kill()
        elsewhere.stop()


def test_where_nothing_runs_that_is_said_and_the_folder_stays_as_it_was(tmp_path):
    done = heatpump("demo", "--data", tmp_path)
    assert done.returncode == 1 and "the flow is not running" in done.stderr and "`heatpump up`" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_with_devices_of_its_own_is_refused_with_what_to_do(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    fill(data / "store.sqlite", range(0, 3_600_000, 10_000), "site1")
    done, up = heatpump("demo", "--data", data), Up(data, "--demo")
    try:
        assert (done.returncode, up.process.wait(60)) == (2, 2)
    finally:
        up.clean_up()
    for said in (done.stderr, up.said):
        assert "has devices of its own (site1)" in said and "such as --data demo-data" in said
    assert not note_of(data).exists()


def test_what_a_pages_button_asks_for_is_started_by_up_which_else_leaves_the_demo_alone(tmp_path):
    running = Up(tmp_path / "data")
    try:
        running.until_ready()
        assert "demo" not in {process["name"] for process in _status(running)}
        os.kill(running.process.pid, signal.SIGUSR1)
        running.until_it_says("^demo: 3 simulated houses: [0-9,]+ readings to load")
        assert running.end() == 0 and "did not stop" not in running.said
    finally:
        running.clean_up()


def test_an_import_of_the_demo_has_one_name_for_ever():
    assert import_id("demo-bristol", "past", 1_790_000_000_000) == import_id(
        "demo-bristol", "past", 1_790_000_000_000
    )
    assert re.fullmatch("[0-9a-f]{32}", import_id("demo-bristol", "past", 1))
    assert import_id("demo-bristol", "past", 1) != import_id("demo-bristol", "recent", 1)


def _settings(data: Path, port: int) -> Settings:
    return load_settings(data=data, mqtt_broker="127.0.0.1", mqtt_port=port)


def _offline_alerts(running: Up) -> set[str]:
    alerts = ask(running, "/api/alerts?hours=2&limit=500")
    return {alert["id"] for alert in alerts if alert["alert_type"] == "device_offline"}


def _status(running: Up) -> list[dict[str, Any]]:
    return json.loads((running.data / "run" / "status.json").read_text())["processes"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
