"""The benchmarks' own parts: realistic readings, packets that a broker takes, a comparison that finds what is wrong."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind
from scripts.lib.fleet import STEP_MS, Fleet, Payload, Pump
from scripts.lib.growth import slope
from scripts.lib.holding import Progress, differences, rows_of
from tests.packed import teach_raised

ROOT = Path(__file__).parent.parent.parent
NOW = 1_770_000_000_000


def test_a_pump_measures_20_quantities_in_the_steps_of_its_sensors_and_none_of_them_stands_still():
    pump = Pump(7)
    readings = [json.loads(pump.text(NOW + turn * STEP_MS)) for turn in range(1000)]
    groups = ("temperature", "electrical", "pressure", "status", "hydraulic", "setpoint", "energy")
    values = [{(group, key): value for group in groups for key, value in r[group].items()} for r in readings]
    assert len(values[0]) == 20
    assert all(len({reading[name] for reading in values}) > 1 for name in values[0])
    assert all(round(reading["temperature", "inlet"], 1) == reading["temperature", "inlet"] for reading in values)
    assert all((4 * reading["electrical", "power"]).is_integer() for reading in values)
    starts = sum(not a["status", "compressor"] and b["status", "compressor"] for a, b in pairwise(values))
    assert 1 <= starts <= 20


def test_a_fleets_readings_are_10_s_apart_up_to_now_and_the_same_again_for_the_same_pump():
    fleet = Fleet(devices=3, rounds=4, now=NOW, payload=Payload.contract)
    messages = [(topic, json.loads(payload)) for topic, payload in fleet.messages(per_message=2)]
    assert [topic for topic, _ in messages] == [f"heatpump/pump0000{n}/data" for n in (0, 1, 2, 0, 1, 2)]
    times = [reading["timestamp"] for topic, readings in messages for reading in readings if "pump00001" in topic]
    assert times == [NOW - 4 * STEP_MS + turn * STEP_MS + STEP_MS // 3 for turn in range(4)]
    assert [text for text in fleet.readings(1)] == [text for text in fleet.readings(1)]


def test_a_slope_is_that_of_the_line_through_the_points():
    assert slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 1.0, 3.0]) == pytest.approx(0.4)


@pytest.fixture(scope="module")
def fleet():
    return Fleet(devices=4, rounds=60, now=NOW)


@pytest.fixture(scope="module")
def store(fleet, tmp_path_factory):
    """What the graph makes of a fleet's messages."""
    folder = tmp_path_factory.mktemp("fleet")
    journal = Journal.open(folder / "journal", min_free_bytes=1)
    for topic, payload in fleet.messages(per_message=5):
        journal.append(FrameKind.MESSAGE, NOW, topic=topic, payload=payload, qos=1)
    journal.commit()
    journal.close()
    assert run_journal(folder / "journal", folder / "store.sqlite") == 0
    return folder / "store.sqlite"


@pytest.mark.slow
def test_a_store_that_holds_what_was_published_is_found_equal(fleet, store):
    assert differences(store, fleet) == []
    assert rows_of(store, fleet)["raw"] == 240
    with Progress(store, fleet) as progress:
        assert progress.rounds() == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("DELETE FROM raw WHERE key = (SELECT min(key) FROM raw)", "1 readings are missing"),
        ("UPDATE raw SET key = key + 1 WHERE key = (SELECT max(key) FROM raw)", "1 were not published"),
        (
            "UPDATE raw SET body = (SELECT body FROM raw ORDER BY key DESC LIMIT 1) WHERE key = "
            "(SELECT min(key) FROM raw)",
            "published was",
        ),
        ("DELETE FROM rollup_1m WHERE key = (SELECT min(key) FROM rollup_1m)", "minutes are closed"),
    ],
)
def test_a_store_that_was_harmed_is_found_out(fleet, store, tmp_path, harm, sentence):
    harmed = tmp_path / "harmed.sqlite"
    with closing(sqlite3.connect(store)) as whole, closing(sqlite3.connect(harmed)) as copy:
        whole.backup(copy)
        teach_raised(copy)
        with copy:
            assert copy.execute(harm).rowcount == 1
    assert any(sentence in difference for difference in differences(harmed, fleet))


def run_script(name, *options, env=None):
    command = [sys.executable, ROOT / "scripts" / name, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=800, env=env)


@pytest.mark.slow
def test_bench_ingest_stores_all_it_publishes_and_says_what_each_process_spent(tmp_path):
    done = run_script("bench_ingest.py", "--readings", "4000", "--devices", "50", "--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for process in ("flow", "api", "mosquitto", "publisher"):
        assert re.search(rf"│ {process} +│ +\d+\.\d", done.stdout)
    assert "raw 4,050" in done.stdout and "exactly what was published" in done.stdout


@pytest.mark.slow
def test_bench_metrics_says_what_a_scrape_costs():
    done = run_script("bench_metrics.py", "--devices", "5", "--scrapes", "10")
    assert re.search(r"5 devices, \d+ series: \d+\.\d ms of processor time a scrape", done.stdout), done.stdout


@pytest.mark.slow
def test_bench_latency_sees_every_reading_at_both_ends():
    done = run_script("bench_latency.py", "--rate", "100", "--seconds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"→ stored, 40 readings.*→ WebSocket, 160 readings", done.stdout, re.DOTALL)


@pytest.mark.slow
def test_a_short_soak_with_kills_is_clean():
    options = (
        "--minutes",
        "0.4",
        "--kill-every",
        "6",
        "--devices",
        "4",
        "--rough",
        "5",
        "--rate",
        "150",
        "--history",
        "0",
    )
    done = run_script("soak.py", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ledger clean" in done.stdout
    assert "kill -9 of flow: 3, kill -9 of api: 1, kill -9 of broker: 1" in done.stdout
