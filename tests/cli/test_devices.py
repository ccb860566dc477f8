"""heatpump devices: whole in any terminal, JSON for programs, and what to do where there are none."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.model import times
from flows.model.alert import Transition
from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow
from flows.model.times import iso, now_ms
from flows.store import open_writer
from tests.cli.heatpump import heatpump
from tests.filled import fill
from tests.influx.recorded import proxy

LONG = "a-long-name-of-a-site-in-the-mountains-whose-id-is-all-that-is-64"
SECOND, HOUR = 1_000, 3_600_000


@pytest.fixture
def now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A store of three devices: site1 is well, one with a long id is old and has alerts, site3 never spoke.

    It is looked at in the moment that it was made for, however long the making took.
    """
    now, store = now_ms(), tmp_path / "store.sqlite"
    monkeypatch.setattr(times, "now_ms", lambda: now)
    fill(store, [now - 4 * SECOND], metadata=[DeviceMetadata(name="Cabin above Lillehammer")])
    fill(store, [now - 30 * HOUR], device_id=LONG[:64], first_order=100)
    with closing(open_writer(store)) as writer:
        writer.apply(
            [
                DeviceRow("site3", 200, online=False),
                *(
                    raised(kind, level, now)
                    for kind, level in (("compressor_temp", "critical"), ("voltage_low", "warning"))
                ),
            ]
        )
    return now


def raised(kind: str, level, at: int) -> Transition:
    return Transition(f"{LONG[:64]}/{kind}/1", 300, LONG[:64], kind, at, at, level, "raised", 1.0, "said", at)


def listed(tmp_path: Path, *arguments: str, columns: int = 80) -> str:
    environment = {"HEATPUMP_DATA": str(tmp_path), "COLUMNS": str(columns), "MQTT_PORT": "1893"}
    done = CliRunner().invoke(app, ["devices", *arguments], env=environment, standalone_mode=False)
    assert done.exception is None and not done.return_value
    return done.output


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_is_whole_however_narrow_the_terminal(tmp_path, now, columns):
    shown = listed(tmp_path, columns=columns)
    assert max(map(len, shown.splitlines())) <= columns
    assert "…" not in shown
    ids = "".join(line[1:19].strip() for line in shown.splitlines()) if columns == 80 else ""
    assert columns != 80 or LONG[:64] in ids
    for word in ("compressor_temp", "critical", "voltage_low", "4 s ago", "30 h ago", "never", "1000"):
        assert word in shown


def test_the_columns_are_called_as_on_the_pages(tmp_path, now):
    assert "seen flow return power" in " ".join(listed(tmp_path).split())


@pytest.mark.parametrize(("days", "form"), [(1, "%d %b %H:%M"), (700, "%d %b %Y")])
def test_of_an_imported_device_it_is_told_up_to_when_there_are_values(tmp_path, now, days, form):
    newest = now - days * 24 * HOUR
    fill(tmp_path / "store.sqlite", [newest - HOUR, newest], device_id="imported", seen=0, first_order=300)
    shown = listed(tmp_path)
    assert "imported, to" in shown and f"{datetime.fromtimestamp(newest / 1000, UTC):{form}}" in shown
    assert max(map(len, shown.splitlines())) <= 80 and "…" not in shown
    (line,) = [line for line in json.loads(listed(tmp_path, "--json")) if line["device_id"] == "imported"]
    assert (line["last_seen"], line["measured_to"]) == (None, iso(newest))


def test_the_list_is_json_for_programs(tmp_path, now):
    lines = {line["device_id"]: line for line in json.loads(listed(tmp_path, "--json"))}
    assert list(lines) == sorted(lines) and len(lines) == 3
    site1 = lines["site1"]
    assert (site1["name"], site1["is_online"], site1["alerts"]) == ("Cabin above Lillehammer", True, {})
    assert site1["last_seen"] == iso(now - 4 * SECOND)
    assert set(site1["values"]) == set(site1["measured_at"]) == {"temp_outlet", "temp_inlet", "power"}
    assert lines[LONG[:64]]["alerts"] == {"compressor_temp": "critical", "voltage_low": "warning"}
    assert (lines["site3"]["last_seen"], lines["site3"]["is_online"], lines["site3"]["values"]) == (
        None,
        False,
        {},
    )


def test_devices_are_listed_as_people_count_them(tmp_path):
    with closing(open_writer(tmp_path / "store.sqlite")) as writer:
        writer.apply([DeviceRow(f"site{number}", number) for number in (10, 9, 1, 100)])
    ids = [line["device_id"] for line in json.loads(listed(tmp_path, "--json"))]
    assert ids == ["site1", "site9", "site10", "site100"]


def test_without_any_device_it_says_what_to_do(tmp_path):
    said = listed(tmp_path)
    assert said.startswith(f"No device has sent anything yet into {tmp_path}.\n")
    assert "python scripts/simulate_device.py --device-id site1 --port 1893\n" in said
    assert json.loads(listed(tmp_path, "--json")) == []


@pytest.mark.slow
def test_a_server_that_has_no_buckets_yet_has_no_device_and_it_is_told_why(tmp_path):
    body = json.dumps({"message": 'failed to initialize execute state: could not find bucket "heatpump_meta"'})
    with proxy(404, body, Content_Type="application/json") as address:
        given = {"INFLUXDB_URL": address.url, "INFLUXDB_TOKEN": address.token}
        done = heatpump("devices", "--json", "--data", tmp_path, **given)
    assert (json.loads(done.stdout), done.returncode) == ([], 0)
    assert "the next start of the flow makes it, or INFLUXDB_TOKEN may not read it" in done.stderr
