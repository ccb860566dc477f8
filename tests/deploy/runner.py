"""Containers without an engine: processes in bubblewrap with the files, user, environment and ports of a container.

A `Container` says what a compose file or a chart says of one; a `Machine` is a network namespace in which several
run, each with its own process namespace, a root of its own that holds programs alone, its volumes at their paths and
no capability. Names of services lead to 127.0.0.1, so two containers cannot have the same port. Needs root.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
VENV = Path(sys.prefix)
PROGRAMS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc"),
    *(str(ROOT / name) for name in ("flows", "api", "panel_app", "scripts", "pyproject.toml")),
    # A Python of the system's own lies in /usr, which is there.
    *(
        str(path)
        for path in sorted({VENV, Path(sys.base_prefix).resolve()})
        if Path("/usr") not in (path, *path.parents)
    ),
)
"""What of this machine a container sees, read only: system, Python and our code."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Mount:
    """A file or folder of the host, or a volume."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Tmpfs:
    """A folder that is empty at each start."""

    target: str
    mode: int = 0o1777
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Container:
    """What is run, and as what.

    user         : uid, gid and further groups
    grace_s      : time to end after stop_signal [s]
    probe        : a command that fails where it is not well
    capabilities : rights of root that it has, without CAP_
    """

    name: str
    argv: tuple[str, ...]
    user: tuple[int, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    read_only: bool = True
    workdir: str = "/"
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    probe: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


def why_not() -> str:
    """Say why containers cannot be run on this machine; "" where they can."""
    missing = [name for name in ("bwrap", "setpriv", "nsenter", "ip") if which(name) is None]
    if missing:
        return (
            f"NOT TRIED: what is deployed was not run; apt-get install bubblewrap iproute2 ({', '.join(missing)})"
        )
    if os.geteuid() != 0:
        return "NOT TRIED: what is deployed was not run; it needs root (network namespaces, users of containers)"
    try:
        with _network():
            pass
        tried = [
            "bwrap",
            "--ro-bind",
            "/",
            "/",
            "--unshare-pid",
            "--as-pid-1",
            "--proc",
            "/proc",
            "--",
            "/bin/true",
        ]
        subprocess.run(tried, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"NOT TRIED: what is deployed was not run; namespaces cannot be made here ({error})"
    return ""


def needed(*programs: str) -> pytest.MarkDecorator:
    """Mark a module of tests that run containers of these programs; where they cannot be run, it says so."""
    missing = [name for name in programs if which(name) is None]
    reason = why_not() or (f"NOT TRIED: what is deployed was not run; there is no {missing}" if missing else "")
    return pytest.mark.skipif(bool(reason), reason=reason)


def which(name: str) -> str | None:
    """Find a program, also where root's are."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


@contextmanager
def _network() -> Iterator[None]:
    """Put this thread, and what it starts, into a new network in which only loopback is."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            if libc.setns(before, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(before)


class Running:
    """A container that was started."""

    def __init__(self, container: Container, process: subprocess.Popen[bytes], pid: int, log: Path) -> None:
        self.container, self.pid, self.log = container, pid, log
        self._process = process

    @property
    def said(self) -> str:
        """All it wrote, of earlier starts too."""
        return self.log.read_text(errors="replace")

    @property
    def ended(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it with -9."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait(120)

    def stop(self) -> tuple[int, float]:
        """Ask it to end, as an engine does: exit code (-9 where it did not within its grace) and time taken. [s]"""
        began = time.monotonic()
        if self.ended is None:
            os.kill(self.pid, self.container.stop_signal)
        try:
            code = self.wait(self.container.grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -9
        return code, time.monotonic() - began

    def run(
        self, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as `docker exec` does."""
        inside = [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "--root",
            f"--wd={self.container.workdir}",
        ]
        command = [*inside, "--", *_as_user(self.container), *argv]
        env = {**self.container.env, **(env or {})}
        return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=300)

    def healthy(self) -> bool:
        """Ask its health check; True where it has none."""
        return self.ended is None and (not self.container.probe or self.run(*self.container.probe).returncode == 0)


class Machine:
    """Where containers run. As a context: this thread is in their network meanwhile, and nothing stays behind."""

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        self.folder = folder
        self.running: dict[str, Running] = {}
        self._names = dict.fromkeys(names, "127.0.0.1")
        self._context = _network()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self._write_hosts()

    def __enter__(self) -> "Machine":
        self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.end()
        finally:
            self._context.__exit__(None, None, None)

    def end(self) -> None:
        """End everything at once."""
        for running in reversed(self.running.values()):
            running.kill()

    def resolve(self, **names: str) -> None:
        """Let names lead to addresses from now on, for all that runs."""
        self._names.update(names)
        self._write_hosts()

    def volume(self, name: str, owner: tuple[int, int] = (0, 0), mode: int = 0o755) -> Path:
        """Give the folder of a named volume, which the first to ask for it makes as its image would."""
        path = self.folder / "volumes" / name
        if not path.exists():
            path.mkdir(parents=True)
            os.chown(path, *owner)
            path.chmod(mode)
        return path

    def start(self, container: Container) -> Running:
        """Start it, again too; its log goes on."""
        log = self.folder / f"{container.name}.log"
        reading, writing = os.pipe()
        with log.open("ab") as out:
            process = subprocess.Popen(
                self._command(container, writing),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=[writing],
            )
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        assert text, f"{container.name} cannot be started: {log.read_text()[-2000:]}"
        running = Running(container, process, json.loads(text)["child-pid"], log)
        self.running[container.name] = running
        return running

    def run(self, container: Container, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one to its end, as `docker run --rm` does."""
        command = self._command(container, None)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)

    def until_healthy(self, *names: str, seconds: float = 120.0) -> None:
        """Wait until their health checks succeed; fail with what was said instead."""
        deadline = time.monotonic() + seconds
        for name in names:
            running = self.running[name]
            while not running.healthy():
                over = running.ended is not None or time.monotonic() > deadline
                assert not over, f"{name} is not well (exit code {running.ended}):\n{running.said[-3000:]}"
                time.sleep(0.3)  # a health check is a program: without a pause it takes from what starts

    def listening(self) -> dict[int, bool]:
        """List what listens on TCP: port, and whether beyond loopback."""
        found: dict[int, bool] = {}
        for table, loopback in (("tcp", "0100007F"), ("tcp6", f"{'0' * 24}01000000")):
            for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]:
                address, state = line.split()[1], line.split()[3]
                host, _, port = address.partition(":")
                if state == "0A":
                    found[int(port, 16)] = found.get(int(port, 16), False) or host != loopback
        return found

    def _write_hosts(self) -> None:
        lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{to} {name}" for name, to in self._names.items())]
        (self.folder / "hosts").write_text("\n".join([*lines, ""]))

    def _command(self, container: Container, told: int | None) -> list[str]:
        mounts = [*container.mounts, Mount(self.folder / "hosts", "/etc/hosts")]
        mounts += [self._empty(container.name, each) for each in container.tmpfs]
        binds = sorted([*_programs({mount.target for mount in mounts}), *mounts], key=lambda mount: mount.target)
        command = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", container.name]
        command += ["--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"]
        command += ["--proc", "/proc", "--dev", "/dev"]
        targets = {bind.target for bind in binds if not bind.writable}
        for bind in binds:
            for parent in reversed(Path(bind.target).parents):
                within = targets.intersection(map(str, (parent, *parent.parents)))
                if not within and str(parent) != "/":  # bubblewrap itself makes some that root alone can enter
                    command += ["--perms", "0755", "--dir", str(parent)]
            if bind.source.is_symlink() and str(bind.source) == bind.target:
                command += ["--symlink", os.readlink(bind.source), bind.target]
            else:
                command += ["--bind" if bind.writable else "--ro-bind", str(bind.source.resolve()), bind.target]
        if container.read_only:
            command += ["--remount-ro", "/"]
        for name, value in container.env.items():
            command += ["--setenv", name, value]
        command += ["--chdir", container.workdir]
        if told is not None:
            command += ["--info-fd", str(told)]
        return [*command, "--", *_as_user(container), *container.argv]

    def _empty(self, name: str, tmpfs: Tmpfs) -> Mount:
        path = self.folder / "tmpfs" / name / tmpfs.target.strip("/").replace("/", "-")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        os.chown(path, tmpfs.uid, tmpfs.gid)
        path.chmod(tmpfs.mode)
        return Mount(path, tmpfs.target, writable=True)


def _as_user(container: Container) -> list[str]:
    """Become the user for good, with no right that a container without capabilities lacks."""
    uid, gid, *groups = container.user
    more = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    kept = ",".join(["-all", *(f"+{name}" for name in container.capabilities)])
    rights = ["--inh-caps=-all", f"--bounding-set={kept}", "--no-new-privs"]
    rights.append("--pdeathsig=KILL")  # of bubblewrap, which asked for it as another user
    return ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", *more, *rights, "--"]


def _programs(targets: set[str]) -> Iterator[Mount]:
    """Give what is seen of this machine; a folder in which something is mounted that is not there, by its entries."""
    for path in PROGRAMS:
        if Path(path).exists():
            yield from _opened(Path(path), targets)


def _opened(path: Path, targets: set[str]) -> Iterator[Mount]:
    within = [target for target in targets if target.startswith(f"{path}/") and not Path(target).exists()]
    if not within or path.is_symlink() or not path.is_dir():
        yield Mount(path, str(path))
        return
    for entry in path.iterdir():
        if str(entry) not in targets:
            yield from _opened(entry, targets)
