"""A broker as a child process on a free loopback port: startable, killable, keeping its port."""

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from flows.broker import rumqttd_config
from flows.child import PARENT

START_S = 60.0


def free_port() -> int:
    """Find a port nobody listens on, and that nobody else is given for a minute.

    A connection that was closed from the server's side leaves its port waiting: the system gives it to nobody who
    asks for any, while who listens on it by number may (SO_REUSEADDR, as servers have it).
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            client.recv(1)  # that it was closed has come: the order of closing is certain
    return port


class Broker(ABC):
    """A broker: start, kill -9, start again on the same port."""

    name = ""
    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        """Keep configuration, log and what it saves in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Say how it is started."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        """Start and wait until it accepts connections. Raises RuntimeError with its last words."""
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
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
        raise RuntimeError(f"{self.name} did not listen on {self.port} within {START_S:.0f} s:\n{log_text}")

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


class Rumqttd(Broker):
    """rumqttd as `scripts/up` runs it; it keeps sessions in memory, so kill -9 forgets them."""

    name = "rumqttd"

    def __init__(self, folder: Path, user: str = "", password: str = "", dies_with_us: bool = False) -> None:
        """Ask for a password where one is given. dies_with_us: it ends with the thread that starts it."""
        super().__init__(folder)
        self._user, self._password, self._dies_with_us = user, password, dies_with_us

    def _command(self) -> list[str]:
        config = self.folder / "rumqttd.toml"
        config.write_text(rumqttd_config(self.host, self.port, user=self._user, password=self._password))
        return [sys.executable, "-m", "flows.broker", str(config)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **({PARENT: str(os.getpid())} if self._dies_with_us else {})}
