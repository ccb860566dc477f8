"""Fixtures that more than one area needs."""

import gc
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from flows import http_port
from tests.brokers import Mosquitto, Rumqttd
from tests.effort import FAST, LONGEST, examples

NO_SERVER = "HEATPUMP_TEST_INFLUXD"
"""Begins the names of the variables that name a real InfluxDB: in the reason of every test skipped without one."""

UNTRIED = "NOT TRIED: "
"""Begins the reason of every test that is skipped because this machine cannot run what is deployed."""

# No example has a deadline: on a busy machine any may take long. The same change is tried with the same examples
# wherever it is tried (others: --hypothesis-seed=N with --hypothesis-profile=searching). A property test that says
# nothing of its number of examples tries as many fewer in --fast as one that does.
settings.register_profile("searching", deadline=None, max_examples=examples(settings.default.max_examples))
settings.register_profile("ours", settings.get_profile("searching"), derandomize=True, database=None)
settings.load_profile("ours")

# A port that is to end looks that often whether it is: no test waits for it.
http_port.LOOK_EVERY_S = 0.01

SLOW_FILE = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


# Begun in the background, what tests start would ignore these, too.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave files of slow tests alone out of --fast unread: what they import takes each worker seconds."""
    if FAST not in os.environ or collection_path.suffix != ".py":
        return None
    return SLOW_FILE.search(collection_path.read_text(encoding="utf-8")) is not None or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the longest files first, so that all workers end at about the same time."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(f"{item.path.parent.name}/{item.path.stem}", len(order)))


def pytest_collection_finish() -> None:
    """Search what is loaded by now no more for garbage: it stays, and searching it took a tenth of the time."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tried of the server store and of what is deployed, and how to try it."""
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_SERVER in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"NOT TRIED: {len(skipped)} tests need a real InfluxDB 2 (an organisation named heatpump): "
            "HEATPUMP_TEST_INFLUXDB_URL=http://127.0.0.1:8086 HEATPUMP_TEST_INFLUXDB_TOKEN=… scripts/test",
            yellow=True,
            bold=True,
        )
    texts = [str(report.longrepr[-1]) for report in terminalreporter.getreports("skipped") if report.longrepr]
    for reason in sorted({text for text in texts if UNTRIED in text}):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), yellow=True, bold=True)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto of this test's own."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def rumqttd(tmp_path: Path) -> Iterator[Rumqttd]:
    """A running rumqttd of this test's own."""
    broker = Rumqttd(tmp_path / "rumqttd")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(params=[Mosquitto, Rumqttd], ids=["mosquitto", "rumqttd"])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mosquitto | Rumqttd]:
    """Each broker in turn."""
    broker: Mosquitto | Rumqttd = request.param(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()
