"""Real brokers for tests: Mosquitto and rumqttd, on a free loopback port, killable, keeping their port."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_S = 10.0


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Broker:
    """A broker as a child process: start, kill -9, start again on the same port."""

    name = ""
    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            time.sleep(0.02)
        log_text = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
        self.kill()
        raise RuntimeError(f"{self.name} did not listen on {self.port} within {START_S} s:\n{log_text}")

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely: Mosquitto saves its sessions."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        os.kill(process.pid, signal.SIGCONT)
        os.kill(process.pid, how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


class Mosquitto(_Broker):
    """Mosquitto that saves every change at once, so that kill -9 keeps sessions and queues."""

    name = "mosquitto"

    def _command(self) -> list[str]:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} {self.host}\n"
            f"user {getpass.getuser()}\n"
            "allow_anonymous true\n"
            "persistence true\n"
            f"persistence_location {self.folder}/\n"
            "autosave_on_changes true\n"
            "autosave_interval 1\n"
            "max_queued_messages 1000000\n"
            "max_inflight_messages 1000\n"
            "log_type error\nlog_type warning\n"
        )
        return ["/usr/sbin/mosquitto", "-c", str(config)]


class Rumqttd(_Broker):
    """rumqttd as `scripts/up` runs it; it keeps sessions in memory, so kill -9 forgets them."""

    name = "rumqttd"

    def _command(self) -> list[str]:
        config = self.folder / "rumqttd.toml"
        config.write_text(
            f"""id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 20
[v4.1]
name = "v4"
listen = "{self.host}:{self.port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 4194304
max_inflight_count = 1000
dynamic_filters = true
"""
        )
        return [sys.executable, "-m", "iotcore", "--config", str(config), "--log-level", "WARNING"]
