"""The flow's private port from elsewhere: by its address and one token, over plain HTTP or TLS."""

import json
import logging
import ssl
import subprocess
import threading

import pytest

from flows.errors import ConfigError, FlowDown, FlowRefused
from flows.flow_port import FlowPort
from flows.ingest import commands
from flows.ingest.commands import CommandPort
from flows.model.command import CommandRequest
from flows.settings import load_settings
from tests.brokers import free_port

TOKEN = "0123456789abcdef-of-the-command-port"
OTHER = "fedcba9876543210-of-the-command-port"


@pytest.fixture(autouse=True)
def without_environment(monkeypatch):
    for name in ("FLOW_URL", "COMMAND_HOST", "COMMAND_PORT", "COMMAND_TOKEN", "SECRETS"):
        monkeypatch.delenv(f"HEATPUMP_{name}", raising=False)


def port_of(data, **given) -> CommandPort:
    """A command port whose health is a fixed answer."""
    settings = load_settings(data=data, **given)
    nothing = dict
    made = CommandPort(
        settings,
        nothing,
        nothing,
        lambda: {"connected": True},
        nothing,
        lambda *_: {},
        lambda _: {},
        lambda *_: {},
    )
    made.start()
    return made


@pytest.fixture
def flow(tmp_path):
    """A command port on all addresses, with a token that was given."""
    port = port_of(tmp_path / "flow", command_host="0.0.0.0", command_token=TOKEN)
    yield port
    port.stop()


def asked(data, url: str, token: str = TOKEN) -> FlowPort:
    return FlowPort(load_settings(data=data, flow_url=url, command_token=token), 5.0)


def test_a_flow_elsewhere_is_found_by_its_address_and_one_token(flow, tmp_path):
    assert asked(tmp_path / "api", f"http://127.0.0.1:{flow.port}/").health() == {"connected": True}
    assert asked(tmp_path / "api", f"http://localhost:{flow.port}").health() == {"connected": True}
    assert not (tmp_path / "api").exists() and not (tmp_path / "flow" / "secrets").exists()


def test_the_data_folder_finds_it_too_wherever_it_listens(flow, tmp_path):
    assert FlowPort(load_settings(data=tmp_path / "flow", command_token=TOKEN)).health() == {"connected": True}
    note = json.loads((tmp_path / "flow" / "run" / "flow.json").read_text())
    assert (note["command_host"], note["command_port"]) == ("127.0.0.1", flow.port)


def test_an_ipv6_address_is_an_address_too(tmp_path):
    port = port_of(tmp_path / "flow", command_host="::1", command_token=TOKEN)
    try:
        assert asked(tmp_path / "api", f"http://[::1]:{port.port}").health() == {"connected": True}
        assert FlowPort(load_settings(data=tmp_path / "flow", command_token=TOKEN)).health() == {"connected": True}
    finally:
        port.stop()


def test_a_wrong_token_is_told_from_a_flow_that_is_away_and_neither_hangs(flow, tmp_path):
    with pytest.raises(FlowRefused, match=r"refuses our token at http://127.0.0.1:.*HEATPUMP_COMMAND_TOKEN"):
        asked(tmp_path / "api", f"http://127.0.0.1:{flow.port}", OTHER).health()
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(FlowDown, match=f"does not answer at {nobody}.*HEATPUMP_FLOW_URL"):
        asked(tmp_path / "api", nobody).health()
    with pytest.raises(FlowDown, match="wants a token, and none is known here; give HEATPUMP_COMMAND_TOKEN"):
        asked(tmp_path / "api", f"http://127.0.0.1:{flow.port}", "").health()


def test_the_data_folders_token_serves_where_none_is_given(tmp_path):
    port = port_of(tmp_path / "flow", command_host="0.0.0.0")
    try:
        assert asked(tmp_path / "flow", f"http://127.0.0.1:{port.port}", "").health() == {"connected": True}
    finally:
        port.stop()


def test_a_rotated_token_is_taken_after_one_restart_of_each_in_any_order(tmp_path):
    """Between the two restarts commands are refused in words; they may be sent again with the same id."""
    number = free_port()
    url, old = f"http://127.0.0.1:{number}", asked(tmp_path / "api", f"http://127.0.0.1:{number}")
    port = port_of(tmp_path / "flow", command_port=number, command_token=TOKEN)
    assert old.health()["connected"]
    port.stop()
    with pytest.raises(FlowDown, match="does not answer"):
        old.health()
    port = port_of(tmp_path / "flow", command_port=number, command_token=OTHER)
    try:
        with pytest.raises(FlowRefused, match="refuses our token"):
            old.submit(CommandRequest("c-1", "me", "device_put", {}))
        assert asked(tmp_path / "api", url, OTHER).health()["connected"]
    finally:
        port.stop()


def test_the_token_is_in_no_line_of_the_log(flow, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    asked(tmp_path / "api", f"http://127.0.0.1:{flow.port}").health()
    with pytest.raises(FlowRefused):
        asked(tmp_path / "api", f"http://127.0.0.1:{flow.port}", OTHER).health()
    assert "/health" in caplog.text
    assert TOKEN not in caplog.text and OTHER not in caplog.text


def test_an_address_or_a_port_that_cannot_be_is_named(tmp_path, flow):
    with pytest.raises(ConfigError, match=r"HEATPUMP_COMMAND_HOST: '192\.0\.2\.1' is no address of this machine"):
        port_of(tmp_path / "other", command_host="192.0.2.1")
    with pytest.raises(ConfigError, match=f"HEATPUMP_COMMAND_PORT: {flow.port} cannot be used on 0.0.0.0"):
        port_of(tmp_path / "other", command_host="0.0.0.0", command_port=flow.port)


@pytest.mark.slow
def test_tls_in_front_is_checked_against_the_known_authorities(flow, tmp_path, monkeypatch):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    wanted = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1", "-nodes"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
        *wanted,
    ]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Quiet(commands._Server):
        def handle_error(self, request, client_address):
            """Leave out what a refused handshake says."""

    server = Quiet(("127.0.0.1", 0), commands._Handler, TOKEN)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.reports = {"/health": lambda: {"connected": True}}
    serving = threading.Thread(target=server.serve_forever, args=[0.05])
    serving.start()
    try:
        port = asked(tmp_path / "api", f"https://localhost:{server.port}")
        with pytest.raises(FlowDown, match="certificate"):
            port.health()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert port.health() == {"connected": True}
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)
