"""Real brokers for tests: Mosquitto and rumqttd, on a free loopback port, killable, keeping their port."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from flows.broker import rumqttd_config

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

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

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
    max_inflight_messages = 1000
    autosave = "autosave_on_changes true\nautosave_interval 1"

    def __init__(self, folder: Path, allow_anonymous: bool = True) -> None:
        super().__init__(folder)
        self._allow_anonymous = allow_anonymous

    @property
    def config(self) -> str:
        """What mosquitto.conf says."""
        return (
            f"listener {self.port} {self.host}\n"
            f"user {getpass.getuser()}\n"
            f"allow_anonymous {str(self._allow_anonymous).lower()}\n"
            "persistence true\n"
            f"persistence_location {self.folder}/\n"
            f"{self.autosave}\n"
            "max_queued_messages 1000000\n"
            f"max_inflight_messages {self.max_inflight_messages}\n"
            "log_type error\nlog_type warning\n"
        )

    def _command(self) -> list[str]:
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config)
        return ["/usr/sbin/mosquitto", "-c", str(file)]


class Rumqttd(_Broker):
    """rumqttd as `scripts/up` runs it; it keeps sessions in memory, so kill -9 forgets them."""

    name = "rumqttd"

    def __init__(self, folder: Path, user: str = "", password: str = "") -> None:
        super().__init__(folder)
        self._user, self._password = user, password

    def _command(self) -> list[str]:
        config = self.folder / "rumqttd.toml"
        config.write_text(rumqttd_config(self.host, self.port, user=self._user, password=self._password))
        return [sys.executable, "-m", "flows.broker", str(config)]
