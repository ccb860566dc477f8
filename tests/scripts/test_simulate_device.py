"""The simulator: a script for any Python from 3.8 that says what is wrong with its arguments, and writes CSV."""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.demo.simulated import SCRIPT
from flows.model.frame import Frame, FrameKind
from flows.nodes.decode import parse_reading
from flows.nodes.payload import decode_payload
from flows.nodes.validate import Params, all_spans, check
from tests.cli.heatpump import heatpump
from tests.scripts import simulated
from tests.scripts.simulated import device, rows

PARTS = SCRIPT.parent / "lib" / "simulator"


@pytest.fixture(scope="module")
def simulator() -> Any:
    return simulated.simulator()


def texts() -> list[str]:
    """The script and its modules."""
    return [path.read_text() for path in (SCRIPT, *sorted(PARTS.glob("*.py")))]


def test_it_is_written_in_python_3_8() -> None:
    for text in texts():
        ast.parse(text, feature_version=(3, 8))


def test_it_imports_nothing_but_the_standard_library_and_paho() -> None:
    imports = [
        node
        for text in texts()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom) and not node.level}
    others = {name for name in names if not name.startswith("lib.simulator.")}
    assert {name.partition(".")[0] for name in others} - set(sys.stdlib_module_names) == {"paho"}


def pythons() -> list[list[str]]:
    """This Python without any package, and 3.8 where there is one."""
    installed = [*map(str, Path.home().glob(".pyenv/versions/3.8.*/bin/python")), "/usr/bin/python3.8"]
    return [[sys.executable, "-I", "-S"], *([path, "-I"] for path in installed if Path(path).exists())]


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons(), ids=lambda words: Path(words[0]).resolve().name)
def test_copied_and_without_any_package_it_writes_the_same_csv(python: list[str], tmp_path: Path) -> None:
    script = shutil.copy(SCRIPT, tmp_path)
    shutil.copytree(PARTS, tmp_path / "lib" / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
    words = ["-W", "error", script, "--csv", "--seed", "3", "--start", "2026-01-10", "--end", "2026-01-11"]
    alone = subprocess.run([*python, *words], capture_output=True, check=True, text=True)
    assert alone.stderr == ""
    here = device(seed=3, start_ms=1_768_003_200_000)
    table = list(csv.DictReader(io.StringIO(alone.stdout)))
    assert len(table) == 8640
    for cells, row in zip(table, rows(here, 1, 10.0, 1_768_003_200_000), strict=True):
        assert {name: float(text) for name, text in cells.items()} == row


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [("voltage", 230, 0), ("voltage", 245, 1), ("voltage", 210, 2), ("pressure_low", 40, 1), ("current", 15, 2)],
)
def test_alert_levels_are_those_of_the_firmware(simulator, name: str, value: float, level: int) -> None:
    assert simulator.alert_level(name, value) == level


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("leak", "'leak' is not NAME[:size][@start[..end]] with one of low_charge"),
        ("low_charge:2", "the severity 2 of low_charge is not above 0 and at most 1"),
        ("low_charge:1.2.3", "'1.2.3' in 'low_charge:1.2.3' is no number"),
        ("low_charge@yesterday", "'yesterday' is no time such as 2026-01-31T12:00 (UTC) or -3d"),
        ("low_charge@2026-01-02..2026-01-01", "'low_charge@2026-01-02..2026-01-01' ends before it starts"),
        ("curve_raised:99", "99 K of curve_raised is not from -10 to 15"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_a_sentence(text: str, sentence: str, simulator) -> None:
    script = simulator
    with pytest.raises(ValueError) as error:
        script.parse_change(text, 0, {**script.FAULTS, **script.EVENTS})
    assert str(error.value).startswith(sentence)


def test_spans_and_times_are_read_as_people_write_them(simulator) -> None:
    script = simulator
    assert script.parse_change("dropout:0.2@2026-01-01T12:00:00Z..+2h", 1_767_268_800_000, script.FAULTS) == (
        *("dropout", 0.2, 1_767_268_800_000, 1_767_276_000_000),
    )
    assert script.parse_time("2026-01-01T13:00+01:00", 0) == script.parse_time("2026-01-01T12:00", 0)
    assert script.parse_time("-3d", 3 * 86_400_000) == 0 and script.parse_span("90min") == 5_400_000


@pytest.mark.slow
def test_ten_thousand_devices_of_one_process_all_send_valid_readings(simulator) -> None:
    args = simulator.parse(["--devices", "10000", "--seed", "1", "--start", "2026-01-10"])
    devices = simulator.make_devices(args, args.start_ms)
    assert len({each.device_id for each in devices}) == 10_000
    spans, removed, fields = all_spans(Params()), Counter(), Counter()
    for each in devices:
        message = json.dumps(each.reading(args.start_ms + 90_000)).encode()
        frame = Frame(1, FrameKind.MESSAGE, args.start_ms)
        parsed = parse_reading(message, each.device_id, 1, frame, decode_payload(message), removed)
        fields[len(check(parsed, spans, removed).values)] += 1
    assert not removed
    assert set(fields) == {16, 22, 24}  # cottage, terrace with tank and heater, villa with counters too


@pytest.mark.slow
def test_with_since_it_goes_on_where_an_earlier_history_of_the_seed_ended(simulate) -> None:
    words = ("--csv", "--seed", "1", "--interval", "300", "--end", "2026-01-11")
    whole, _ = simulate(*words, "--start", "2026-01-01").communicate(timeout=300)
    rest, _ = simulate(*words, "--since", "2026-01-01", "--start", "2026-01-10").communicate(timeout=300)
    assert rest.splitlines()[1:] == whole.splitlines()[-288:]


@pytest.mark.slow
def test_the_import_takes_every_row_of_its_csv_with_its_mapping(tmp_path: Path, simulate) -> None:
    words = ("--csv", "--profile", "villa", "--start", "2026-01-01", "--end", "2026-01-03", "--interval", "300")
    for name, more in (("readings.csv", ()), ("mapping.toml", ("--mapping",))):
        output, errors = simulate(*words, "--seed", "1", *more).communicate(timeout=300)
        assert errors == ""
        (tmp_path / name).write_text(output)
    report = heatpump(
        *("import", "csv", str(tmp_path / "readings.csv"), "--device", "site1", "--dry-run"),
        *("--map", str(tmp_path / "mapping.toml"), "--data", str(tmp_path)),
    )
    assert report.returncode == 0, report.stderr
    assert re.search(r"to take +576 readings\nrefused +0\nmonth", report.stdout)


@pytest.mark.slow
def test_backfill_without_a_flow_ends_with_a_sentence(tmp_path: Path, simulate) -> None:
    process = simulate("--backfill", "1h", HEATPUMP_DATA=str(tmp_path))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "the history of site1 could not be imported; does the flow run (scripts/up)?" in errors


@pytest.mark.slow
def test_backfill_without_the_heatpump_command_says_what_to_do(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    done = subprocess.run(
        [python, str(SCRIPT), "--backfill", "1h"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 1
    assert "--backfill needs the heatpump command, beside this Python or on the PATH" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--interval", "0"], "--interval: 0 is not from 0.1 to 3600 seconds"),
        (["--interval", "often"], "argument --interval: invalid float value: 'often'"),
        (["--port", "99999"], "--port: 99999 is not from 1 to 65535"),
        (["--device-id", "a/b"], "--device-id: 'a/b' must be 1 to 64 letters, digits, _ . or -"),
        (["--broker", ""], "--broker: must name a host"),
        (["--devices", "0"], "--devices: 0 is not from 1 to 100000"),
        (["--speed", "0"], "--speed: 0 is not from 0.01 to 1000000"),
        (["--start", "soon"], "--start: 'soon' is no time such as 2026-01-31T12:00 (UTC) or -3d"),
        (["--start", "2026-01-02", "--end", "2026-01-01"], "--end: is not after the start"),
        (
            ["--since", "2026-01-02", "--start", "2026-01-01"],
            "--since: must be before the start, at most ten years",
        ),
        (["--backfill", "all"], "--backfill: 'all' is no length such as 14d, 36h or 10min"),
        (["--backfill", "1d", "--speed", "2"], "--backfill: goes on live from now"),
        (["--csv", "--devices", "2"], "--csv: writes one device, not --devices"),
        (["--fault", "rust"], "--fault: 'rust' is not NAME[:size][@start[..end]] with one of low_charge"),
        (["--event", "curve_raised:30"], "--event: 30 K of curve_raised is not from -10 to 15"),
    ],
)
def test_wrong_arguments_end_it_with_code_2_and_one_sentence(args: list[str], sentence: str, simulate) -> None:
    process = simulate(*args)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2
    assert sentence in errors and "Traceback" not in errors
