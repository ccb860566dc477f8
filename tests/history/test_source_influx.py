"""What InfluxDB exports or answers gives the readings that are in it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.errors import ConfigError
from flows.history.influx_server import TOKEN
from flows.history.times import UNREADABLE, rfc3339
from tests.history.formats import (
    iso,
    write_annotated,
    write_lines,
)
from tests.history.read import MINUTE, Read, T

EXCHANGES = Path(__file__).parent.parent / "data" / "influxdb" / "exchanges.jsonl"


@pytest.mark.parametrize("write", [write_annotated, write_lines])
def test_influx_exports_field_by_field_and_only_what_is_wanted(tmp_path, write):
    fields = {"t": {T: 30.5, T + MINUTE: 31.5}, "on": {T: "true", T + MINUTE: "false"}, "x": {T: 1.0}}
    path = tmp_path / "export"
    write(path, fields, "pump", site="home")
    mapping = '[source]\nmeasurement="pump"\ntags={{site="{}"}}\n[quantity.temp_inlet]\nfield="t"\n[quantity.fan_running]\nfield="on"'
    assert Read("influx", path, mapping.format("home"), tmp_path).rows == {
        T: {"temp_inlet": 30.5, "fan_running": 1.0},
        T + MINUTE: {"temp_inlet": 31.5, "fan_running": 0.0},
    }
    for wrong, said in {
        'site="home"->site="nope"': r"\[source\] tags.site: 'nope' has no point in .*export; there are home$",
        'measurement="pump"->measurement="nope"': r"\[source\] measurement: 'nope' .* there are pump$",
        'field="on"->field="off"': r"\[quantity.fan_running\] field: 'off' has no point in .* there are on, t, x$",
    }.items():
        with pytest.raises(ConfigError, match=said):
            Read("influx", path, mapping.format("home").replace(*wrong.split("->")), tmp_path)


def test_a_measurement_and_a_tag_that_no_point_has_together_are_refused(tmp_path):
    (tmp_path / "a.lp").write_text(f"pump,site=a t=1 {T}000000\nroom,site=b t=2 {T}000000\n")
    mapping = '[source]\nmeasurement="pump"\ntags={site="b"}\n[quantity.temp_inlet]\nfield="t"'
    with pytest.raises(ConfigError, match=r"tags: '_measurement=pump, site=b' has no point .* each has some"):
        Read("influx", tmp_path / "a.lp", mapping, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "2024-10-10T06:00:00.123999999Z",
        "2024-10-10T08:00:00.1239+02:00",
        "2024-10-10T01:30:00.123-04:30",
        "2024-10-10T06:00:00.123",
    ],
)
def test_a_time_of_influxdb_has_an_offset_or_none_and_a_fraction_that_is_cut_to_milliseconds(text):
    assert rfc3339(text) == T + 123


@pytest.mark.parametrize("text", ["", "yesterday", "06:00:00Z", "2024-13-10T06:00:00Z"])
def test_what_is_no_time_of_influxdb_is_unreadable(text):
    assert rfc3339(text) == UNREADABLE


def test_line_protocol_with_escapes_types_and_a_wrong_line(tmp_path):
    (tmp_path / "a.lp").write_text(
        '# comment\nheat\\ pump,room=a\\,b power=1500i,note="a b,c=1",temp\\ in=3.05e1 1728540000000000000\nbroken\n'
    )
    mapping = (
        '[source]\nmeasurement="heat pump"\ntags={room="a,b"}\n[quantity.power]\nfield="power"\n'
        '[quantity.temp_inlet]\nfield="temp in"'
    )
    read = Read("influx", tmp_path / "a.lp", mapping, tmp_path)
    assert read.rows == {T: {"power": 1500.0, "temp_inlet": 30.5}}
    assert read.tally.refused == {"no line of line protocol with a time": 1}


def test_what_gives_no_point_of_influx_is_counted(tmp_path):
    at = f"{T}000000"
    (tmp_path / "a.lp").write_text(
        f'pump,room=5" t=30.5,broken,x=1 {at}\npump t= {T + MINUTE}000000\npump t="3 {at}\npump t=31 5\n'
        f"pump t=1 9999999999999999999\npump t=31.5 {T + 2 * MINUTE}000000\n"
    )
    read = Read("influx", tmp_path / "a.lp", '[quantity.temp_inlet]\nfield="t"', tmp_path)
    assert {at: row["temp_inlet"] for at, row in read.rows.items()} == {T: 30.5, T + 2 * MINUTE: 31.5}
    assert read.tally.refused == {
        "no key=value of line protocol": 2,
        "no line of line protocol with a time": 1,
        "a time before 2000": 1,
        "a time after now": 1,
    }
    assert read.tally.first["a time before 2000"] == "'5' of t=31"
    assert read.tally.first["no line of line protocol with a time"].startswith("line 3: 'pump t=\"3")
    assert read.tally.rows == 7

    write_annotated(tmp_path / "a.csv", {"t": {T: 30.5, T + MINUTE: 31.5, T + 2 * MINUTE: 32.5}}, "pump")
    lines = (tmp_path / "a.csv").read_text().splitlines(keepends=True)
    lines[-3] = lines[-3].replace(",t,", ",")
    (tmp_path / "a.csv").write_text("".join(lines))
    read = Read("influx", tmp_path / "a.csv", '[quantity.temp_inlet]\nfield="t"', tmp_path)
    assert list(read.rows) == [T, T + 2 * MINUTE]
    assert read.tally.refused == {"another number of cells than the header": 1}
    assert read.tally.rows == 3


def write_pivoted(path: Path, fields: dict[str, dict[int, float]], measurement: str, **tags: str) -> None:
    """What a pivot gives without annotations: a column a field, a table a series."""
    times = sorted({at for points in fields.values() for at in points})
    rows = [f",_result,{tags['site']},{iso(at)},{tags['site']},{fields['t'][at]}\r\n" for at in times]
    path.write_text(",result,table,_time,site,t\r\n" + "".join(rows) + "\r\n")


@pytest.mark.parametrize("write", [write_annotated, write_lines, write_pivoted])
def test_two_series_of_a_field_are_read_one_after_the_other_but_not_when_they_lie_in_each_other(tmp_path, write):
    def written(first: dict[int, float], second: dict[int, float]) -> Path:
        for name, points in (("1", first), ("2", second)):
            write(tmp_path / name, {"t": points}, "pump", site=name)
        (tmp_path / "both").write_bytes((tmp_path / "1").read_bytes() + (tmp_path / "2").read_bytes())
        return tmp_path / "both"

    mapping, tags = '[quantity.temp_inlet]\nfield="t"\n', '[source]\ntags={site="2"}\n'
    after = written({T: 30.0, T + MINUTE: 31.0}, {T + 2 * MINUTE: 32.0})
    assert len(Read("influx", after, mapping, tmp_path).rows) == 3

    between = written({T: 30.0, T + 2 * MINUTE: 32.0}, {T + MINUTE: 31.0})
    with pytest.raises(
        ConfigError, match=r"map.toml \[source\] tags: 't' comes .* (site|table)=1, (site|table)=2"
    ):
        Read("influx", between, mapping, tmp_path)
    assert Read("influx", between, tags + mapping, tmp_path).rows == {T + MINUTE: {"temp_inlet": 31.0}}


def test_two_measurements_of_a_field_are_to_be_chosen_from(tmp_path):
    (tmp_path / "a.lp").write_text(f"pump t=1 {T}000000\nroom t=2 {T}000000\n")
    with pytest.raises(ConfigError, match=r"\[source\] measurement: 't' .* _measurement=pump, _measurement=room"):
        Read("influx", tmp_path / "a.lp", '[quantity.temp_inlet]\nfield="t"', tmp_path)


@contextmanager
def influxdb(answers: dict[str, str], asked: list[dict]) -> Iterator[str]:
    """A server that answers Flux queries for a field with annotated CSV, and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "token": self.headers["Authorization"], **body})
            assigned = [option["assignment"] for option in body["extern"]["body"]]
            bound = {each["id"]["name"]: each["init"]["value"] for each in assigned}
            data = answers.get(bound["p_field"], "").encode()
            self.send_response(200 if self.headers["Authorization"] == "Token good" else 401)
            self.send_header("Content-Type", "text/csv; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def recorded(name: str) -> str:
    """The answer that a real InfluxDB 2.9.1 gave."""
    for line in EXCHANGES.read_text().splitlines():
        exchange = json.loads(line)
        if exchange.get("name") == name:
            return exchange["response"]["body"]
    raise LookupError(name)


LIVE = '[source]\nmeasurement="sensor_reading"\ntags={device_id="q1"}\n[quantity.temp_inlet]\nfield="temp_inlet"'


@pytest.mark.slow
def test_a_live_influxdb_is_asked_with_bound_names_and_its_answer_read(tmp_path, monkeypatch):
    answer = ",result,table,_start,_stop,_time,_value,_field,_measurement,device_id\r\n"
    answer += ",_result,0,x,x,2024-10-10T06:00:00Z,30.5,temp_inlet,sensor_reading,q1\r\n\r\n"
    asked: list[dict] = []
    monkeypatch.setenv(TOKEN, "good")
    with influxdb({"temp_inlet": answer}, asked) as url:
        assert Read("influx", url, LIVE, tmp_path).rows == {T: {"temp_inlet": 30.5}}
    assert asked[0]["path"] == "/api/v2/query?org=heatpump"
    assert asked[0]["query"].endswith(
        'r._field == p_field and r["_measurement"] == p_value0 and r["device_id"] == p_value1) |> first()'
    )
    monkeypatch.setenv(TOKEN, "wrong")
    with influxdb({}, asked) as url, pytest.raises(ConfigError, match="refuses to read: 401"):
        Read("influx", url, LIVE, tmp_path)
    monkeypatch.delenv(TOKEN)
    with pytest.raises(ConfigError, match="must hold a token"):
        Read("influx", url, LIVE, tmp_path)


@pytest.mark.parametrize("token", ["secret €", "secret\nX-Other: 1", "secret\udcff"])
def test_a_token_that_no_http_header_can_hold_is_refused_and_not_shown(tmp_path, monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ConfigError, match=r"INFLUXDB_TOKEN.* must be one line of ASCII") as caught:
        Read("influx", "http://127.0.0.1:9", LIVE, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["query_json_dialect_annotations_last", "query_json_pivot_range"])
def test_what_a_real_influxdb_answered_is_read_whole_and_pivoted(tmp_path, name):
    (tmp_path / "a.csv").write_bytes(recorded(name).encode())
    mapping = "".join(
        f'[quantity.{name}]\nfield="{name}"\n'
        for name in ("temp_inlet", "temp_outlet", "power", "compressor_running")
    )
    read = Read("influx", tmp_path / "a.csv", mapping, tmp_path)
    newest = read.rows[max(read.rows)]
    assert newest == {"temp_inlet": 49.0, "temp_outlet": 52.0, "power": 1959.0, "compressor_running": 1.0}


def test_a_quote_that_is_never_closed_in_an_annotated_csv_is_refused(tmp_path):
    rows = "".join(f"2026-02-02T00:0{minute}:00Z,1000,power\n" for minute in range(9))
    (tmp_path / "q.csv").write_text(f'#group,false,false,true\n_time,_value,_field\n"{rows}')
    with pytest.raises(
        ConfigError, match="a quote in line 3 is never closed: '\"2026-02-02T00:00:00Z,1000,power'"
    ):
        Read("influx", tmp_path / "q.csv", '[quantity.power]\nfield="power"\n', tmp_path)
