"""The supervisor with stand-ins for its processes."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.heatpump import Running, alive
from tests.flows import wait_for

pytestmark = pytest.mark.slow

WELL = "import os, pathlib, time; pathlib.Path(os.environ['READY']).touch(); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WELL}"
ROOT = Path(__file__).parent.parent.parent


class Supervised(Running):
    def __init__(self, data: Path, **codes: str) -> None:
        data.mkdir()
        self.data = data
        script = str(Path(__file__).parent / "supervised.py")
        specs = [f"{name}={code}" for name, code in codes.items()]
        super().__init__([sys.executable, script, str(data), *specs], data.with_suffix(".log"), PYTHONPATH=ROOT)

    def status(self) -> dict[str, dict]:
        report = json.loads((self.data / "run" / "status.json").read_text())
        return {process["name"]: process for process in report["processes"]}


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator:
    started: list[Supervised] = []

    def start(**codes: str) -> Supervised:
        started.append(Supervised(tmp_path / "data", **codes))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


def test_processes_start_in_order_and_stop_in_the_opposite_one(supervise):
    polite = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('stops', flush=True)))"
    running = supervise(first=f"{polite}\n{WELL}", second=f"{polite}\n{WELL}")
    running.until_it_says("^all ready$")
    assert running.end() == 0
    lines = running.said.splitlines()
    assert lines == ["first is ready", "second is ready", "all ready", "second: stops", "first: stops"]
    assert not (running.data / "run" / "status.json").exists()


def test_a_leaf_starts_even_while_the_one_before_is_not_ready_and_all_are_ready_only_once_that_is(supervise):
    waiting = "import os, pathlib, time\nwhile not pathlib.Path(os.environ['READY']).with_name('go').exists():\n time.sleep(.02)"
    running = supervise(first=f"{waiting}\n{WELL}", leaf=WELL)
    running.until_it_says("^leaf is ready$")
    assert "ready" not in running.said.replace("leaf is ready", "")
    (running.data / "go").touch()
    running.until_it_says("^all ready$")
    assert running.said.splitlines() == ["leaf is ready", "first is ready", "all ready"]
    assert running.end() == 0


def test_a_killed_process_is_started_again_and_said_so(supervise):
    running = supervise(worker=WELL, other=WELL)
    running.until_it_says("^all ready$")
    before = running.status()
    assert before["worker"]["healthy"] and before["worker"]["restarts"] == 0
    os.kill(before["worker"]["pid"], signal.SIGKILL)
    running.until_it_says(r"^worker ended by SIGKILL; starting it again in 0\.5 s$")
    running.until_it_says("^worker is ready again$")
    after = running.status()
    assert after["worker"]["restarts"] == 1 and after["worker"]["pid"] != before["worker"]["pid"]
    assert after["other"] == before["other"]


def test_one_that_dies_at_once_is_started_ever_more_slowly(supervise):
    running = supervise(broken="import sys; print('no disk'); sys.exit(3)")
    running.until_it_says(r"^broken ended with code 3; starting it again in 2 s$")
    delays = [line.split()[-2] for line in running.said.splitlines() if "starting it again" in line]
    assert delays == ["0.5", "1", "2"]
    assert "broken: no disk" in running.said
    assert running.end() == 0 and "did not stop" not in running.said


def test_one_that_refuses_its_configuration_ends_all_with_code_2_and_its_sentence(supervise):
    running = supervise(worker=WELL, picky="import sys; sys.exit(print('the journal is foreign') or 2)")
    running.until_it_says("^worker is ready$")
    worker = running.status()["worker"]["pid"]
    assert running.process.wait(60) == 2
    assert "picky: the journal is foreign\npicky cannot start like this: everything stops\n" in running.said
    assert "starting it again" not in running.said
    assert not alive(worker)


def test_what_is_aside_starts_when_all_others_are_ready_and_its_refusal_stops_none(supervise):
    running = supervise(aside="import sys; sys.exit(print('no demo here') or 2)", worker=WELL)
    running.until_it_says("^aside cannot start like this$")
    assert running.said.splitlines()[:3] == ["worker is ready", "all ready", "aside: no demo here"]
    assert alive(running.status()["worker"]["pid"]) and running.process.poll() is None
    assert running.end() == 0


def test_what_is_parked_starts_when_a_signal_asks_for_it(supervise):
    running = supervise(worker=WELL, parked=WELL)
    running.until_it_says("^all ready$")
    assert list(running.status()) == ["worker"]
    running.process.send_signal(signal.SIGUSR1)
    running.until_it_says("^parked is ready$")
    assert list(running.status()) == ["worker", "parked"]
    assert running.end() == 0


def test_what_is_parked_and_refuses_is_no_trouble_and_may_be_asked_for_again(supervise):
    running = supervise(worker=WELL, parked="import sys; sys.exit(2)")
    running.until_it_says("^all ready$")
    for times in (1, 2):
        running.process.send_signal(signal.SIGUSR1)
        wait_for(lambda times=times: running.said.count("parked cannot start like this\n") == times)
        wait_for(lambda: list(running.status()) == ["worker"])
    assert running.end() == 0 and "did not stop" not in running.said


def test_one_that_does_not_listen_to_sigterm_is_killed_in_time(supervise):
    running = supervise(deaf=DEAF, frozen=WELL)
    running.until_it_says("^all ready$")
    pids = [process["pid"] for process in running.status().values()]
    os.kill(pids[1], signal.SIGSTOP)
    assert running.end(signal.SIGINT) == 0
    assert "deaf did not stop in 1 s and was killed" in running.said
    assert not any(map(alive, pids))


def test_no_process_outlives_a_killed_supervisor(supervise):
    running = supervise(deaf=DEAF, worker=WELL)
    running.until_it_says("^all ready$")
    pids = [process["pid"] for process in running.status().values()]
    running.end(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, pids)))


def test_information_goes_to_the_log_alone_and_a_long_line_does_no_harm(supervise):
    now = "2026-01-01 00:00:00,000"
    lines = [f"{now} INFO x: all fine", f"{now} WARNING x: hot", "y" * 100_000]
    running = supervise(talker=f"print(*{lines!r}, sep='\\n', flush=True)\n{WELL}")
    running.until_it_says("^all ready$")
    running.end()
    assert "WARNING x: hot" in running.said and "all fine" not in running.said
    log = (running.data / "logs" / "talker.log").read_text()
    assert "all fine" in log and "hot" in log and log.count("y") >= 100_000


def test_the_log_is_bounded(supervise):
    flood = "for n in range(12_000): print(f'2026-01-01 00:00:00,000 INFO flood: {n:01400d}')"
    running = supervise(flooder=f"{flood}\n{WELL}")
    running.until_it_says("^all ready$")
    running.end()
    sizes = {path.name: path.stat().st_size for path in (running.data / "logs").iterdir()}
    assert set(sizes) == {"flooder.log", "flooder.log.1"}
    assert all(0 < size <= 5_000_000 for size in sizes.values())
