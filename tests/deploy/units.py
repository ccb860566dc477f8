"""The units of deploy/systemd, read as systemd reads them, and what each runs as a container of the runner."""

import os
import shlex
from collections import defaultdict
from pathlib import Path

from tests.deploy.runner import ROOT, VENV, Container, Machine, Mount, Tmpfs

UNITS = ROOT / "deploy" / "systemd"
OURS, BROKER = (10001, 10001), (10002, 10001)
"""Whom heatpump and mosquitto are here: uid, gid."""

Unit = dict[str, list[str]]


def read(name: str) -> Unit:
    """Settings of a unit by `Section.Name`; an empty value takes back those before it."""
    found: Unit = defaultdict(list)
    section = ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[f"{section}.{key}"] += [value]
    return found


def one(unit: Unit, key: str) -> str:
    """Its only value."""
    (value,) = unit[key]
    return value


class Box:
    """Where units are started by hand: state, secrets and settings of one machine, and its network."""

    def __init__(self, machine: Machine, folder: Path, environment: dict[str, str]) -> None:
        self.machine, self._folder, self._environment = machine, folder, environment
        (folder / "secrets").mkdir(parents=True)

    def secret(self, name: str, value: str) -> None:
        """Write one, as the administrator does; flow and API get it by LoadCredential."""
        (self._folder / "secrets" / name).write_text(value)

    def container(self, name: str) -> Container:
        """What a unit runs, with its state folders, credentials and environment, on a root nobody may write."""
        unit = read(name)
        user = BROKER if one(unit, "Service.User") == "mosquitto" else OURS
        mounts = [Mount(VENV, "/opt/heat-pump"), Mount(ROOT / "deploy" / "mosquitto", "/opt/mosquitto")]
        for state in " ".join(unit["Service.StateDirectory"]).split():
            mode = int(one(unit, "Service.StateDirectoryMode"), 8)
            mounts.append(
                Mount(self.machine.volume(state.replace("/", "-"), user, mode), f"/var/lib/{state}", True)
            )
        credentials = f"/run/credentials/{name}"
        mounts.append(Mount(self._credentials(name, unit, user), credentials))
        for path in unit["Service.ReadWritePaths"]:
            path = path.removeprefix("-").replace("%S", "/var/lib")
            if path not in {mount.target for mount in mounts}:
                mounts.append(Mount(self._shared(path), path, True))
        if user == BROKER:  # it reads what others wrote
            mounts.append(Mount(self.machine.volume("heat-pump-mqtt-accounts", OURS, 0o750), ACCOUNTS))
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/var/lib/heat-pump", **self._environment}
        for assignments in unit["Service.Environment"]:
            for assignment in shlex.split(assignments):
                key, _, value = assignment.partition("=")
                env[key] = value.replace("%S", "/var/lib").replace("%d", credentials)
        argv = shlex.split(one(unit, "Service.ExecStart"))
        argv = [word.replace("/opt/heat-pump/mosquitto", "/opt/mosquitto") for word in argv]
        return Container(name, tuple(argv), user, env, tuple(mounts), (Tmpfs("/tmp"),))

    def _shared(self, path: str) -> Path:
        return self.machine.volume(path.removeprefix("/var/lib/").replace("/", "-"), OURS, 0o750)

    def _credentials(self, name: str, unit: Unit, user: tuple[int, int]) -> Path:
        """Give a unit its own copies, for its user alone; every one that it names must be there."""
        folder = self.machine.volume(f"credentials-{name}", user, 0o500)
        for credential in unit["Service.LoadCredential"]:
            key, _, source = credential.partition(":")
            (folder / key).unlink(missing_ok=True)
            (folder / key).write_bytes((self._folder / "secrets" / Path(source).name).read_bytes())
            (folder / key).chmod(0o400)
            os.chown(folder / key, *user)
        return folder


ACCOUNTS = "/var/lib/heat-pump-mqtt/accounts"
