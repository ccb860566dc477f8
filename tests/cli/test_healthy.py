"""heatpump healthy: what is alive, what is ready, and that asking costs next to nothing."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.cli.probe import DEFAULTS, problem_of
from flows.lock import locked
from flows.settings import Settings
from tests.api.conftest import running
from tests.brokers import Mosquitto, free_port
from tests.cli.heatpump import clean_environment
from tests.flows import Flow, wait_for

QUICK = [sys.executable, "-c", "from flows.cli.quick import main; main()"]


@pytest.fixture(autouse=True)
def where(monkeypatch, tmp_path):
    """A data folder of the test's own, and nothing else set."""
    for name in [*DEFAULTS, "HEATPUMP_SECRETS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEATPUMP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_defaults_are_those_of_the_settings():
    variables = {field.validation_alias.choices[0]: field.default for field in Settings.model_fields.values()}
    assert DEFAULTS == {name: str(variables[name]) for name in DEFAULTS}


def test_a_value_may_stand_in_a_file_of_secrets(monkeypatch, tmp_path):
    port = free_port()
    (tmp_path / "HEATPUMP_API_PORT").write_text(f"{port}\n")
    monkeypatch.setenv("HEATPUMP_SECRETS", str(tmp_path))
    assert problem_of("api", False).startswith("does not answer")
    with answering(port, 200, {}):
        assert problem_of("api", False) == ""


@contextmanager
def answering(port: int, status: int, body: dict):
    """Something that answers every question the same."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", port), Same) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield
        server.shutdown()
        thread.join(5)


def test_pages_that_do_not_hear_the_api_are_alive_and_not_ready(monkeypatch):
    monkeypatch.setenv("HEATPUMP_PANEL_PORT", str(port := free_port()))
    with answering(port, 200, {"status": "running", "live": False}):
        assert (problem_of("panel", False), problem_of("panel", True)) == (
            "",
            "is not ready: it does not hear the API",
        )
    with answering(port, 200, {"status": "running", "live": True}):
        assert problem_of("panel", True) == ""
    with answering(port, 500, {}):
        assert problem_of("panel", False) == "answers 500"


def test_an_api_without_its_store_is_alive_and_not_ready(monkeypatch, where, tmp_path):
    from flows.settings import load_settings
    from flows.store import open_writer

    open_writer(tmp_path / "store.sqlite").close()
    with running(load_settings(data=where), tmp_path / "store.sqlite") as api:
        monkeypatch.setenv("HEATPUMP_API_PORT", str(api.port))
        assert (problem_of("api", False), problem_of("api", True)) == ("", "")
        api.context.reader.close()
        (tmp_path / "store.sqlite").rename(tmp_path / "gone.sqlite")
        wait_for(lambda: problem_of("api", True), lambda problem: problem == "is not ready")
        assert problem_of("api", False) == ""


def test_a_flow_that_starts_is_alive_and_one_that_is_not_there_is_not(where):
    assert problem_of("flow", False) == "does not run"
    where.mkdir()
    with locked(where / "lock"):
        assert problem_of("flow", False) == ""
        assert problem_of("flow", True) == "is not ready: it starts, or waits for its store"
    assert problem_of("flow", False) == "does not run"


@pytest.mark.slow
def test_a_flow_without_broker_is_alive_and_ready_once_it_is_subscribed(where, tmp_path):
    broker = Mosquitto(tmp_path / "broker")
    flow = Flow(where, broker.port)
    try:
        flow.launch()
        wait_for(lambda: problem_of("flow", False), lambda problem: problem == "")
        wait_for(lambda: problem_of("flow", True), lambda problem: problem == "is not ready")
        broker.start()
        wait_for(lambda: problem_of("flow", True), lambda problem: problem == "")
        flow.kill()
        assert problem_of("flow", False).startswith("does not answer")
    finally:
        flow.kill()
        broker.stop()


@pytest.mark.slow
def test_the_command_is_one_line_an_exit_code_and_loads_next_to_nothing(where):
    environment = clean_environment(HEATPUMP_DATA=where)
    done = subprocess.run([*QUICK, "healthy", "flow"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "flow does not run\n", "")
    asked = subprocess.run(
        [*QUICK[:2], "import sys; from flows.cli import probe; print(*sys.modules)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"typer", "pydantic", "http", "ssl", "msgspec"} & set(asked.stdout.split())


@pytest.mark.slow
def test_the_door_leads_to_every_other_command(where):
    environment = clean_environment(HEATPUMP_DATA=where)
    said = [
        subprocess.run([*QUICK, *words], env=environment, capture_output=True, text=True)
        for words in (["healthy", "pump"], ["healthy", "--help"], ["graph"])
    ]
    assert (said[0].returncode, "is not one of" in said[0].stderr) == (2, True)
    assert "--ready" in said[1].stdout
    assert (said[2].returncode, "decode" in said[2].stdout) == (0, True)
