"""Commands answer mistakes with one sentence and code 2, and help quickly."""

import re
import socket

import pytest

from tests.brokers import free_port
from tests.cli.heatpump import heatpump
from tests.recorded import RECORDING

pytestmark = pytest.mark.slow

HOME = ("--device", "home", "--map", "nowhere.toml")
COMMANDS = (
    "up",
    "status",
    "devices",
    "tail",
    "demo",
    "flow",
    "api",
    "panel",
    "record",
    "replay",
    "import",
    "migrate",
    "graph",
    "doctor",
    "healthy",
    "prove",
    "rebuild",
    "backup",
    "restore",
)
GROUPS = ("dead-letters", "store", "user", "token", "device", "accounts", "influxdb")


def commands_of(text: str) -> tuple[str, ...]:
    """Which commands a help lists."""
    return tuple(re.findall(r"^  ([\w-]+)  ", text.partition("Commands:")[2], re.MULTILINE))


def refusal(*arguments, **settings) -> str:
    """Run a command that must be refused; return its one sentence."""
    done = heatpump(*arguments, **settings)
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("heatpump: ")
    return line.removeprefix("heatpump: ")


def test_help_lists_every_command_and_loads_nothing_that_takes_time():
    done = heatpump("--help", PYTHONPROFILEIMPORTTIME=1)
    assert done.returncode == 0
    assert commands_of(done.stdout) == (*COMMANDS, *GROUPS)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded.isdisjoint(
        ("numpy", "pydantic", "bytewax", "fastapi", "panel", "bokeh", "paho", "influxdb_client")
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_examples(command):
    done = heatpump(command, "--help")
    assert done.returncode == 0
    assert re.search(rf"Examples:\n\n    (\w+=\S+ )?heatpump {command}", done.stdout)


@pytest.mark.parametrize("group", GROUPS)
def test_each_command_of_a_group_explains_itself_with_examples(group):
    commands = commands_of(heatpump(group, "--help").stdout)
    assert commands
    for command in commands:
        text = heatpump(group, command, "--help").stdout
        assert re.search(rf"Examples:\n\n    (.+ \| )?(\w+=\S+ )?heatpump {group} {command}", text), command


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        ([], {}, "Missing command"),
        (["upp"], {}, "No such command 'upp'"),
        (["up", "--portt", "1"], {}, "(see `heatpump up --help`)"),
        (["dead-letters", "show", "x"], {}, "(see `heatpump dead-letters show --help`)"),
        (["import", "csv", "a", *HOME, "--again", "-1"], {}, "'--again': must be greater than or equal to 0"),
        (["up", "--mqtt-port", "no"], {}, "'--mqtt-port'"),
        (["up", "--mqtt-port", "0"], {}, "--mqtt-port: 0 must be greater than or equal to 1"),
        (["up", "--api-port", "65536"], {}, "--api-port: 65536 must be less than or equal to 65535"),
        (["up"], {"HEATPUMP_API_PORT": "eighty"}, "HEATPUMP_API_PORT: 'eighty' must be a valid integer"),
        (["up"], {"INFLUXDB_RETENTION": "a month"}, "INFLUXDB_RETENTION: 'a month' must be a whole number"),
        (["flow"], {"HEATPUMP_EPOCH_MS": "1"}, "HEATPUMP_EPOCH_MS: '1' must be greater than or equal to 100"),
        (["flow"], {"HEATPUMP_GRAPH": "nowhere.toml"}, "HEATPUMP_GRAPH: 'nowhere.toml' cannot be read"),
        (["api", "--store", "nowhere.sqlite"], {}, "--store: 'nowhere.sqlite' is no store"),
        (
            ["up"],
            {"HEATPUMP_API_HOST": "256.1.1.1"},
            "HEATPUMP_API_HOST: '256.1.1.1' is no address of this machine",
        ),
        (["graph", "--format", "png"], {}, "'--format': 'png' is not one of 'text', 'mermaid'"),
        (["graph", "--graph", "nowhere.toml"], {}, "--graph: 'nowhere.toml' cannot be read"),
        (["replay", "day.csv", "--speed", "0"], {}, "'--speed': must be greater than or equal to 0.01"),
        (["rebuild", "--data", "nowhere"], {}, "there is no data folder nowhere"),
        (["replay"], {}, "Missing argument 'file'"),
        (["replay", "nowhere.csv"], {}, "FILE: 'nowhere.csv' cannot be read: No such file"),
        (
            ["record", "nowhere/day.hpr"],
            {},
            "FILE: 'nowhere/day.hpr' cannot be written: there is no folder nowhere",
        ),
        (["record", "docs", "--force"], {}, "FILE: 'docs' is a folder: name a file in it"),
        (
            ["replay", RECORDING, "--into", "/nowhere/x.sqlite"],
            {},
            "--into: '/nowhere/x.sqlite' cannot be written: there is no folder /nowhere",
        ),
        (["replay", "."], {}, "FILE: '.' cannot be read: Is a directory"),
        (["import", "csv", "nowhere.csv", *HOME], {}, "source: 'nowhere.csv' cannot be read: No such file"),
        (["import", "influx", ".", *HOME], {}, "source: '.' cannot be read: Is a directory"),
        (["import", "emoncms", "nowhere", *HOME], {}, "source: 'nowhere' cannot be read: No such file"),
        (["import", "emoncms", __file__, *HOME], {}, "--map: 'nowhere.toml' cannot be read: No such file"),
        (["import", "csv", "a", "--device", "é", "--map", "b"], {}, "--device: 'é' must be 1 to 64 letters"),
        (["up", "--lan"], {"MQTT_BROKER": "example.org"}, "--lan: 'example.org'"),
        (["up", "--data", "/proc/heatpump"], {}, "--data: '/proc/heatpump' cannot be the data folder"),
        (["flow", "--data", __file__], {}, f"--data: '{__file__}' cannot be the data folder (File exists)"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(arguments, settings, sentence):
    assert sentence in refusal(*arguments, **settings)


def test_a_busy_port_is_named_with_its_user_and_the_option_that_changes_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refusal("up", "--data", tmp_path / "data", "--mqtt-port", port)
    assert re.match(
        rf"--mqtt-port: {port} is in use by \S+ \(pid \d+\); choose another with --mqtt-port or ", said
    )


def test_one_port_for_two_purposes_is_refused(tmp_path):
    said = refusal("up", "--data", tmp_path / "data", "--api-port", 47113, "--mqtt-port", 47113)
    assert said.startswith("--api-port: 47113 is the port of --mqtt-port too; choose another with --api-port")


def test_the_graph_is_drawn_as_text_and_as_mermaid():
    text, mermaid = heatpump("graph"), heatpump("graph", "--format", "mermaid")
    assert text.returncode == mermaid.returncode == 0
    assert text.stdout.startswith("journal\n") and "decode" in text.stdout and "store" in text.stdout
    assert mermaid.stdout.startswith("flowchart LR\n") and "decode -->" in mermaid.stdout


def test_status_of_nothing_says_so_with_code_1(tmp_path):
    done = heatpump("status", "--data", tmp_path)
    otherwise = "; what runs without it: `heatpump doctor`\n"
    assert (done.returncode, done.stdout) == (1, f"no `heatpump up` runs on {tmp_path}{otherwise}")
    assert heatpump("status", cwd=tmp_path).stdout == f"no `heatpump up` runs on ./data{otherwise}"
    assert heatpump("status", "--data", __file__).returncode == 1
    assert heatpump("status", "--json", "--data", tmp_path).stdout == '{"running": false, "processes": []}\n'


def test_doctor_finds_a_folder_open_to_everyone_and_a_busy_port_with_their_remedies(tmp_path):
    tmp_path.chmod(0o755)
    others = {name: free_port() for name in ("HEATPUMP_MQTT_WS_PORT", "HEATPUMP_API_PORT", "HEATPUMP_PANEL_PORT")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = heatpump("doctor", "--data", tmp_path, MQTT_PORT=port, **others)
    assert done.returncode == 1
    assert f"wrong data folder: {tmp_path} is open to everyone (755)\n      chmod 700 {tmp_path}\n" in done.stdout
    assert re.search(
        rf"wrong port {port}: is in use by .*\n +Stop that, or choose another port with --mqtt-port", done.stdout
    )
    assert done.stdout.count("wrong ") == 2


def test_doctor_finds_nothing_wrong_with_a_new_folder(tmp_path):
    named = ("MQTT_PORT", "HEATPUMP_MQTT_WS_PORT", "HEATPUMP_API_PORT", "HEATPUMP_PANEL_PORT")
    done = heatpump("doctor", "--data", tmp_path / "new", **{name: free_port() for name in named})
    assert done.returncode == 0 and "wrong" not in done.stdout
    assert not (tmp_path / "new").exists()


def test_doctor_names_an_unreachable_broker_and_a_broken_store_and_journal(tmp_path):
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 1000)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / f"{1:020}.seg").write_bytes(b"no journal" * 1000)
    done = heatpump("doctor", "--data", tmp_path, MQTT_BROKER="127.0.0.1", MQTT_PORT=free_port())
    assert done.returncode == 1 and done.stderr == ""
    for subject in ("broker", "store", "journal"):
        assert f"wrong {subject}: " in done.stdout
