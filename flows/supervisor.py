"""The supervisor: starts processes in order, keeps them running, shows their complaints, stops them in time."""

import asyncio
import json
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import zip_longest
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import msgspec

from flows.child import PARENT

REFUSED = 2
"""The exit code of a process that cannot run as it is configured: starting it again would not help."""

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
WELL_S = 60.0
CHECK_EVERY_S = 0.1
PATIENCE_S = 10.0
LAST_WORDS_S = 0.5
LOG_BYTES = 5_000_000
_LONGEST_LINE = 16_384
_QUIET = re.compile(r".{0,40}?\b(DEBUG|INFO)\b")

Say = Callable[[str], None]


class Process(msgspec.Struct, frozen=True):
    """What to run.

    name    : what people call it.
    argv    : its command; no secrets in it.
    env     : added to our own environment.
    problem : says what keeps it from being ready, "" once it is; may block for a second or two.
    port    : where it listens, for people; None: nowhere public.
    aside   : others do without it: it starts last, nothing waits for it, and where it refuses nothing stops.
    parked  : it starts only when SIGUSR1 asks for it; one that refuses is parked again. Always `aside`.
    grace_s : how long it may take to end by itself. [s]
    leaf    : none of the others needs it; leaves end first, all at once.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str]
    problem: Callable[[], str]
    port: int | None = None
    grace_s: float = 1.0
    leaf: bool = False
    aside: bool = False
    parked: bool = False


class Supervisor:
    """Starts processes, each once the one before is ready, and stops them in the opposite order, leaves first.

    A process that dies is started again after 0.5 s, then ever more slowly, at most every 30 s; a minute of
    running forgets that. One that ends with code 2 refuses its configuration: then everything stops.
    """

    def __init__(
        self,
        processes: list[Process],
        data: Path,
        say: Say,
        ready: Callable[[], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Keep logs in `data`/logs and the status in `data`/run/status.json; call `ready` once all are.

        patience_s : how long a leaf waits for the process before it, at most. [s]
        """
        (data / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._status = data / "run" / "status.json"
        self._say, self._ready, self._patience_s = say, ready, patience_s
        ordered = sorted(processes, key=lambda process: process.aside)
        self._keepers = [_Keeper(process, data / "logs", say, self._write_status) for process in ordered]
        self._since = _now_ms()

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or SIGHUP (0) or until a process refuses (2); return the exit code."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._unpark)
        keeping = [asyncio.create_task(keeper.keep()) for keeper in self._keepers]
        signalled = asyncio.create_task(over.wait())
        running: set[asyncio.Task[Any]] = {*keeping, signalled, asyncio.create_task(self._start_all())}
        try:
            while not over.is_set():
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if any(keeper.refused and not keeper.process.aside for keeper in self._keepers):
                    return REFUSED
            return 0
        finally:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers if keeper.process.leaf))
            for keeper in reversed(self._keepers):
                await keeper.stop()
            await asyncio.wait(keeping, timeout=LAST_WORDS_S)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._status.unlink(missing_ok=True)

    async def _start_all(self) -> None:
        needed = [keeper for keeper in self._keepers if not keeper.process.aside]
        for keeper, following in zip_longest(needed, needed[1:]):
            keeper.may_start.set()
            # A leaf starts all the same: the pages tell what the others wait for, such as a store that is away.
            patience = self._patience_s if following and following.process.leaf else None
            with suppress(TimeoutError):
                await asyncio.wait_for(keeper.ready.wait(), patience)
        for keeper in needed:
            await keeper.ready.wait()
        self._ready()
        for keeper in self._keepers:
            if not keeper.process.parked:
                keeper.may_start.set()

    def _unpark(self) -> None:
        for keeper in self._keepers:
            if keeper.process.parked:
                keeper.may_start.set()

    def _write_status(self) -> None:
        """Tell `heatpump status`. A full disk stops no supervision: the flow says that one."""
        report = {
            "pid": os.getpid(),
            "since": self._since,
            "processes": [keeper.report() for keeper in self._keepers if not keeper.is_parked],
        }
        with suppress(OSError):
            new = self._status.with_suffix(".new")
            new.write_text(json.dumps(report) + "\n")
            os.replace(new, self._status)


class _Keeper:
    """Keeps one process running."""

    def __init__(self, process: Process, logs: Path, say: Say, changed: Callable[[], None]) -> None:
        self.may_start, self.ready = asyncio.Event(), asyncio.Event()
        self.refused = False
        self.process = process
        self._say, self._changed = say, changed
        self._log = _Log(logs / f"{process.name}.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        self._child: asyncio.subprocess.Process | None = None
        self._since, self._restarts = _now_ms(), 0
        self._stopping = False

    @property
    def is_parked(self) -> bool:
        """Tell one that nobody has asked for."""
        return self.process.parked and not self.may_start.is_set()

    def report(self) -> dict[str, Any]:
        """Say how it is, for status.json. since: [ms since 1970, UTC]."""
        child = self._child
        return {
            "name": self.process.name,
            "pid": child.pid if child and child.returncode is None else None,
            "port": self.process.port,
            "since": self._since,
            "restarts": self._restarts,
            "healthy": self.ready.is_set(),
        }

    async def keep(self) -> None:
        """Run it, and again whenever it dies, until it refuses or is stopped."""
        name, delay = self.process.name, FIRST_DELAY_S
        await self.may_start.wait()
        while not self._stopping:
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping:
                return
            if code == REFUSED:
                self._say(f"{name} cannot start like this" + ("" if self.process.aside else ": everything stops"))
                if not self.process.parked:
                    self.refused = True
                    return
                self.may_start.clear()
                self._changed()
                await self.may_start.wait()
                continue
            if time.monotonic() - began >= WELL_S:
                delay = FIRST_DELAY_S
            self._say(f"{name} ended {_how(code)}; starting it again in {delay:g} s")
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)
            self._restarts += 1

    async def _run_once(self) -> int:
        """Start it, watch it, return the code it ended with."""
        self._child = child = await asyncio.create_subprocess_exec(
            *self.process.argv,
            env={**os.environ, **self.process.env, PARENT: str(os.getpid())},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us to pass on, in order
        )
        self._since = _now_ms()
        self._changed()
        assert child.stdout is not None
        reading = asyncio.create_task(self._read(child.stdout))
        checking = asyncio.create_task(self._until_ready())
        try:
            code = await child.wait()
            await asyncio.wait([reading], timeout=1.0)
        finally:
            reading.cancel()
            checking.cancel()
        self.ready.clear()
        self._changed()
        return code

    async def _until_ready(self) -> None:
        began, told = time.monotonic(), False
        while problem := await asyncio.to_thread(self.process.problem):
            if not told and time.monotonic() - began > PATIENCE_S:
                told = True
                self._say(f"{self.process.name} {problem}; still waiting")
            await asyncio.sleep(CHECK_EVERY_S)
        self.ready.set()
        self._changed()
        self._say(f"{self.process.name} is ready" + (" again" if self._restarts else ""))

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Keep every line, show those that are no mere information."""
        rest = b""
        while chunk := await output.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(line)
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self._log.emit(logging.makeLogRecord({"msg": text}))
        if text and not _QUIET.match(text):
            self._say(f"{self.process.name}: {text}")

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when its time is over."""
        self._stopping = True
        self.may_start.set()  # one that waits to start need not wait for it
        child = self._child
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), self.process.grace_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            self._say(f"{self.process.name} did not stop in {self.process.grace_s:g} s and was killed")


class _Log(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore it: a full disk stops no supervision, and the flow says that one."""


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
