"""`docker` for setup.sh and people's commands, over a `Stack`: as much of it as they use, every container really run."""

import argparse
import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.compose_stack import Stack, image_of
from tests.deploy.runner import Container, Mount

CLIENT = """#!/usr/bin/python3 -IS
import json, os, select, socket, sys
waits = select.select([0], [], [], 0)[0] or not os.isatty(0)
stdin = sys.stdin.read() if waits and {"-i", "-T"} & set(sys.argv) else ""
server = socket.socket(socket.AF_UNIX)
server.connect(SOCKET)
server.sendall(json.dumps({"argv": sys.argv[1:], "stdin": stdin}).encode())
server.shutdown(socket.SHUT_WR)
code, out, err = json.loads(b"".join(iter(lambda: server.recv(1 << 16), b"")))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

Outcome = tuple[int, str, str]


class Engine:
    """Answers the command line of `docker`, one command after the other."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.machine = stack, stack.machine
        self.asked: list[list[str]] = []

    def answer(self, argv: list[str], stdin: str) -> Outcome:
        """Do what is asked. Raises AssertionError: asked for what this does not know."""
        self.asked.append(argv)
        command, *rest = argv
        if command == "compose":
            command, *rest = rest
            return getattr(self, f"_compose_{command}", self._unknown)(rest, stdin)
        return getattr(self, f"_{command}", self._unknown)(rest, stdin)

    def _unknown(self, rest: list[str], stdin: str) -> Outcome:
        raise AssertionError(f"docker {shlex.join(self.asked[-1])}")

    def _info(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "/\n" if "DockerRootDir" in " ".join(rest) else "28.0.0\n", ""

    def _version(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "28.0.0\n", ""

    def _ps(self, rest: list[str], stdin: str) -> Outcome:
        names = [self._name_of(service) for service in self.machine.running]
        return 0, "".join(f"{name} heatpump\n" for name in names), ""

    def _image(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "", ""

    def _inspect(self, rest: list[str], stdin: str) -> Outcome:
        running = self.machine.running.get(self._service_of(rest[-1]))
        if running is None:
            return 1, "", f"no such container: {rest[-1]}"
        state = "exited" if running.ended is not None else "healthy" if running.healthy() else "starting"
        return 0, f"{state}\n", ""

    def _logs(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "\n".join(self.machine.running[self._service_of(rest[-1])].said.splitlines()[-15:]), ""

    def _port(self, rest: list[str], stdin: str) -> Outcome:
        ports = self.stack.config()["services"][self._service_of(rest[-1])].get("ports", ())
        return 0, "".join(f"{port['target']}/tcp -> {port['host_ip']}:{port['published']}\n" for port in ports), ""

    def _run(self, rest: list[str], stdin: str) -> Outcome:
        take = argparse.ArgumentParser()
        for name in ("--rm", "-i", "--read-only"):
            take.add_argument(name, action="store_true")
        for name in ("--network", "--user", "--workdir", "--entrypoint", "--security-opt", "--cap-drop"):
            take.add_argument(name, required=True)
        for name in ("--cap-add", "--volume"):
            take.add_argument(name, action="append", default=[])
        take.add_argument("image")
        take.add_argument("command", nargs=argparse.REMAINDER)
        given = take.parse_args(rest)
        assert (given.network, given.cap_drop) == ("none", "ALL")
        volumes = [volume.split(":") for volume in given.volume]
        container = Container(
            name="run",
            argv=(given.entrypoint, *given.command),
            user=tuple(map(int, given.user.split(":"))),
            env=image_of(given.image).env,
            mounts=tuple(Mount(Path(source), target, writable=True) for source, target in volumes),
            read_only=given.read_only,
            workdir=given.workdir,
            capabilities=tuple(name.lower() for name in given.cap_add),
        )
        return _outcome(self.machine.run(container, stdin))

    def _compose_version(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "2.39.0\n", ""

    def _compose_build(self, rest: list[str], stdin: str) -> Outcome:
        return 0, "", ""

    def _volume(self, rest: list[str], stdin: str) -> Outcome:
        assert rest[0] == "inspect"
        key = next(key for key, each in self.stack.config()["volumes"].items() if each["name"] == rest[1])
        return (0, "[]", "") if (self.machine.folder / "volumes" / key).exists() else (1, "", "no such volume")

    def _compose_run(self, rest: list[str], stdin: str) -> Outcome:
        brought = []
        if "-v" in rest:
            at = rest.index("-v")
            source, target, access = rest[at + 1].split(":")
            assert access == "ro"
            brought, rest = [Mount(Path(source), target)], rest[:at] + rest[at + 2 :]
        service, *command = [word for word in rest if word not in ("--rm", "--no-deps", "-T")]
        return _outcome(self.stack.run(service, *command, stdin=stdin, brought=brought))

    def _compose_exec(self, rest: list[str], stdin: str) -> Outcome:
        service, *command = [word for word in rest if word != "-T"] if rest[0] == "-T" else rest
        return _outcome(self.machine.running[service].run(*command, stdin=stdin))

    def _compose_up(self, rest: list[str], stdin: str) -> Outcome:
        self.stack.up(*(word for word in rest if not word.startswith("-")))
        return 0, "", ""

    def _compose_create(self, rest: list[str], stdin: str) -> Outcome:
        for service in (word for word in rest if not word.startswith("-")):
            self.stack.container(service)  # which makes its volumes
        return 0, "", ""

    def _compose_down(self, rest: list[str], stdin: str) -> Outcome:
        for running in reversed(self.machine.running.values()):
            running.stop()
        self.machine.running.clear()
        if "-v" in rest:
            shutil.rmtree(self.machine.folder / "volumes")
        return 0, "", ""

    def _compose_restart(self, rest: list[str], stdin: str) -> Outcome:
        for service in (word for word in rest if not word.startswith("-")):
            self.machine.running[service].stop()
            self.stack.start(service)
        return 0, "", ""

    def _name_of(self, service: str) -> str:
        return str(self.stack.config()["services"][service]["container_name"])

    def _service_of(self, name: str) -> str:
        services = self.stack.config()["services"].items()
        return next((service for service, each in services if each.get("container_name") == name), name)


def _outcome(done: subprocess.CompletedProcess[str]) -> Outcome:
    return done.returncode, done.stdout, done.stderr


class Shell:
    """Runs commands as somebody on the server does, in the project's folder."""

    def __init__(self, engine: Engine, programs: Path) -> None:
        self.engine = engine
        self._env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        for name in [
            name for name in self._env if name.startswith(("HEATPUMP_", "MQTT_", "INFLUXDB_", "COMPOSE_"))
        ]:
            del self._env[name]

    def run(self, *argv: str, seconds: float = 600.0) -> str:
        """Run a command; what it said. Fails where it failed."""
        done = subprocess.run(
            argv,
            cwd=self.engine.stack.project,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, f"{shlex.join(argv)}: {done.returncode}\n{done.stdout}"
        return done.stdout


@contextmanager
def shell(stack: Stack) -> Iterator[Shell]:
    """Make `docker` there for commands, by a thread of this process: it is in the machine's network."""
    engine, programs = Engine(stack), stack.machine.folder / "bin"
    programs.mkdir()
    # Relative to nothing: a socket's path may have 107 characters.
    path = f"/tmp/heatpump-docker-{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    (programs / "docker").write_text(CLIENT.replace("SOCKET", repr(path)))
    (programs / "docker").chmod(0o755)

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                with connection.makefile("rb") as told:
                    asked = json.loads(told.read() or b"null")
                if asked is None:
                    return
                try:
                    outcome = engine.answer(asked["argv"], asked["stdin"])
                except Exception as error:
                    outcome = (125, "", f"{type(error).__name__}: {error}\n")
                connection.sendall(json.dumps(outcome).encode())

    # One thread for as long as the machine is there: a container ends with the thread that started it.
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Shell(engine, programs)
    finally:
        stack.machine.end()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(path)
        thread.join(30)
        listening.close()
        os.unlink(path)
