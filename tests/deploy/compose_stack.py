"""The compose file as containers of a `Machine`: what `docker compose up` would start, from `config --format json`."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.deploy.runner import ROOT, SYSTEM_PATH, VENV, Container, Machine, Mount, Running, Tmpfs
from tests.influxd import BINARY as INFLUXD

COMPOSE = VENV / "bin" / "docker-compose"
PROJECT = ("docker-compose.yml", "Dockerfile", "setup.sh", ".env.example", "deploy")
"""What of the checkout a server has. Only copies of it are used: `data` beside them is made by setup.sh."""


@dataclass(frozen=True)
class Image:
    """What an image adds to a service.

    owners   : of volumes that are mounted there first: uid, gid and mode
    programs : that it has and this machine has not
    """

    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    stop_signal: signal.Signals = signal.SIGTERM
    owners: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    programs: tuple[str, ...] = ()


def ours() -> Image:
    """Read our own image's last stage. In place of its Python it has this checkout's."""
    stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    lines = dict(line.split(maxsplit=1) for line in stage.splitlines()[1:] if re.match("[A-Z]+ ", line))
    env = dict(word.split("=", 1) for word in shlex.split(lines["ENV"]))
    env["PATH"] = env["PATH"].replace("$PATH", f"{VENV}/bin:{SYSTEM_PATH}")
    env["HOME"] = re.findall(r"useradd .*--home-dir (\S+)", stage)[0]
    made = re.findall(r"install -d -o (\d+) -g (\d+) -m (\d+) ((?:/\S+ ?)+)", stage)
    owners = {path: (int(uid), int(gid), int(mode, 8)) for uid, gid, mode, paths in made for path in paths.split()}
    stop = signal.Signals[lines.get("STOPSIGNAL", "SIGTERM")]
    return Image(tuple(json.loads(lines["ENTRYPOINT"])), env, lines["WORKDIR"], stop, owners)


def image_of(name: str) -> Image:
    """Say what is known of an image that the compose file names."""
    base = {"PATH": SYSTEM_PATH, "HOME": "/"}
    if name.startswith("heatpump-monitor"):
        return ours()
    if name.startswith("eclipse-mosquitto"):
        owner = (1883, 1883, 0o755)
        folders = {f"/mosquitto/{folder}": owner for folder in ("config", "data", "log")}
        return Image(("/docker-entrypoint.sh",), base, owners=folders)
    if name.startswith("nginx"):
        return Image(("/docker-entrypoint.sh",), base, stop_signal=signal.SIGQUIT)
    if name.startswith("influxdb"):
        owner, data = (1000, 1000, 0o700), "/var/lib/influxdb2"
        names = ("bolt-path=influxd.bolt", "engine-path=engine", "sqlite-path=influxd.sqlite")
        paths = [f"--{option}={data}/{name}" for option, _, name in (each.partition("=") for each in names)]
        env = {**base, "INFLUX_CONFIGS_PATH": "/etc/influxdb2/influx-configs"}
        folders = {data: owner, "/etc/influxdb2": owner}
        return Image(("influxd", *paths), env, owners=folders, programs=("influxd", "influx"))
    raise AssertionError(f"what the image {name!r} starts is not known")


class Stack:
    """A project folder of its own, and the containers that run of it."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.project = machine, machine.folder / "project"
        self._known: tuple[bytes, Any] = (b"", None)
        self.project.mkdir()
        for name in PROJECT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.project / name)
            elif source.exists():
                shutil.copy2(source, self.project / name)

    def config(self) -> Any:
        """What compose makes of its files and .env, all profiles included: `started` tells which are without."""
        environment = self.project / ".env"
        given = environment.read_bytes() if environment.exists() else b""
        if self._known[1] is None or self._known[0] != given:
            self._known = (
                given,
                {**self._compose("--profile", "*"), "started": list(self._compose()["services"])},
            )
        return self._known[1]

    def _compose(self, *options: str) -> Any:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.project)}
        command = [str(COMPOSE), *options, "config", "--format", "json"]
        done = subprocess.run(command, cwd=self.project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def up(self, *only: str) -> None:
        """Start what does not run (all services, or some), each when what it depends on is as it asks."""
        config = self.config()
        services = {name: config["services"][name] for name in only or config["started"]}
        self.machine.resolve(**dict.fromkeys(config["started"], "127.0.0.1"))
        for name in in_order(services):
            for needed, how in services[name].get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.machine.until_healthy(needed)
            if name not in self.machine.running or self.machine.running[name].ended is not None:
                self.start(name)

    def start(self, service: str) -> Running:
        """Start one service, again too."""
        return self.machine.start(self.container(service))

    def run(
        self, service: str, *command: str, stdin: str = "", brought: Sequence[Mount] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a service once, as `docker compose run --rm` does, with another command and more mounts if given."""
        container = self.container(service, command)
        container = replace(container, name=f"{service}-run", mounts=(*container.mounts, *brought))
        return self.machine.run(container, stdin)

    def container(self, service: str, command: tuple[str, ...] = ()) -> Container:
        """Give a service of the compose file as a container."""
        config = self.config()
        one = config["services"][service]
        image = image_of(one["image"])
        entrypoint = image.entrypoint if one.get("entrypoint") is None else tuple(one["entrypoint"])
        uid, gid = map(int, one["user"].split(":"))
        return Container(
            name=service,
            argv=(*entrypoint, *(command or one.get("command") or ())),
            user=(uid, gid, *map(int, one.get("group_add", ()))),
            env={**image.env, **one.get("environment", {})},
            mounts=(*self._volumes(one, image), *self._secrets(one, config), *self._programs(image)),
            tmpfs=tuple(_tmpfs(text) for text in one.get("tmpfs", ())),
            read_only=one.get("read_only", False),
            workdir=one.get("working_dir", image.workdir),
            stop_signal=signal.Signals[one["stop_signal"]] if "stop_signal" in one else image.stop_signal,
            grace_s=_seconds(one.get("stop_grace_period", "10s")),
            probe=_probe(one.get("healthcheck", {}).get("test", ())),
        )

    def _volumes(self, service: Any, image: Image) -> Iterator[Mount]:
        for volume in service.get("volumes", ()):
            source, writable = volume["source"], not volume.get("read_only", False)
            if volume["type"] == "bind":
                assert Path(source).exists(), f"{source} is to be mounted at {volume['target']}, but is not there"
                yield Mount(Path(source), volume["target"], writable)
            else:
                uid, gid, mode = image.owners.get(volume["target"], (0, 0, 0o755))
                yield Mount(self.machine.volume(source, (uid, gid), mode), volume["target"], writable)

    def _secrets(self, service: Any, config: Any) -> Iterator[Mount]:
        for secret in service.get("secrets", ()):
            target = secret["target"]
            path = target if target.startswith("/") else f"/run/secrets/{target}"
            yield Mount(Path(config["secrets"][secret["source"]]["file"]), path)

    def _programs(self, image: Image) -> Iterator[Mount]:
        for name in image.programs:
            yield Mount(self._program(name), f"/usr/local/bin/{name}")

    def _program(self, name: str) -> Path:
        if name == "influxd":
            return Path(os.environ[INFLUXD])
        path = self.machine.folder / name  # of its client, the one question that the health check asks
        path.write_text('#!/bin/sh\n[ "$1" = ping ] && exec wget -q -O /dev/null http://localhost:8086/ping\n')
        path.chmod(0o755)
        return path


def in_order(services: Mapping[str, Any]) -> list[str]:
    """Order services so that each comes after what it depends on."""
    found: list[str] = []

    def add(name: str) -> None:
        for needed in services[name].get("depends_on", {}):
            add(needed)
        if name not in found:
            found.append(name)

    for name in services:
        add(name)
    return found


def _tmpfs(text: str) -> Tmpfs:
    target, _, options = text.partition(":")
    given = dict(option.split("=") for option in options.split(",") if option)
    return Tmpfs(target, int(given.get("mode", "1777"), 8), int(given.get("uid", 0)), int(given.get("gid", 0)))


def _seconds(text: str) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def _probe(test: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    if not test or test[0] == "NONE":
        return ()
    return tuple(test[1:]) if test[0] == "CMD" else ("/bin/sh", "-c", test[1])
