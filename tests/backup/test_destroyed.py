"""Everything is destroyed while devices send; what was backed up is there again, and the flow goes on.

An oracle that knows nothing of our code says what must be stored of what the restored journal holds.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.backup import manifest
from flows.journal.reader import JournalReader
from flows.model.frame import FrameKind
from flows.store import open_reader
from tests.backup.conftest import patiently
from tests.brokers import Mosquitto
from tests.cli.heatpump import HEATPUMP, clean_environment
from tests.flows import Flow, wait_for
from tests.influxd import BINARY, TOKEN, Influxd
from tests.ledger.compare import compare, expected_of
from tests.ledger.load import Load, Message
from tests.ledger.processes import OrdinaryMosquitto, Publisher
from tests.ledger.runner import influx_address, influx_settings
from tests.ledger.stored import StoredSqlite
from tests.ledger.stored_influx import StoredInflux

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RATE = 100
SITE = {"device_id": "ledger1", "name": "Mill Lane 4", "location": "the cellar"}


class Stores:
    """The store of a test, of one kind, and of what is left of it once it is destroyed: nothing."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._influxd: Influxd | None = None
        self._folder, self._number = folder, 0
        if kind == "influx":
            self._start()

    @property
    def settings(self) -> dict[str, str]:
        return influx_settings(self._influxd)

    def _start(self) -> None:
        self._number += 1
        self._influxd = Influxd(self._folder / f"influxdb-{self._number}")
        self._influxd.start()

    def destroy(self) -> None:
        """Kill the server and delete its folder; an empty one takes its place."""
        if self._influxd is not None:
            self._influxd.kill()
            shutil.rmtree(self._influxd.folder)
            self._start()

    def stored(self, flow: Flow) -> StoredSqlite | StoredInflux:
        return StoredInflux(self._influxd.url, TOKEN) if self._influxd else StoredSqlite(flow.store)

    def reader(self, flow: Flow):
        return open_reader(influx_address(self._influxd) if self._influxd else flow.store)

    def close(self) -> None:
        if self._influxd is not None:
            self._influxd.stop()


@pytest.fixture(params=["sqlite", "influx"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "influx" and not os.environ.get(BINARY):
        pytest.skip(f"{BINARY} names no influxd: no server store is destroyed")
    made = Stores(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = OrdinaryMosquitto(tmp_path / "broker")
    made.start()
    yield made
    made.stop()


class Sending(threading.Thread):
    """So many messages at a steady rate, or until it is told to end."""

    def __init__(self, publisher: Publisher, messages: Iterator[Message], most: int) -> None:
        super().__init__(daemon=True)
        self._most = most
        self._publisher, self._messages, self._over = publisher, messages, threading.Event()
        self.sent: list[Message] = []

    def run(self) -> None:
        while len(self.sent) < self._most and not self._over.wait(1 / RATE):
            self.sent.append(next(self._messages))
            self._publisher.send(self.sent[-1])

    def end(self) -> None:
        self._over.set()
        self.join()
        self._publisher.wait_acknowledged()


def start(data: Path, broker: Mosquitto, stores: Stores) -> Flow:
    flow = Flow(data, broker.port, journal_segment_mb=1)
    flow._environment.update(stores.settings)
    return patiently(flow)


def ours(data: Path, broker: Mosquitto, stores: Stores) -> dict[str, object]:
    return {"HEATPUMP_DATA": data, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": broker.port, **stores.settings}


def heatpump(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command that lets others go first: on a busy machine it takes its time."""
    command = [*HEATPUMP, *map(str, arguments)]
    environment = clean_environment(**settings)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def journaled(data: Path) -> list[tuple[str, bytes]]:
    """What devices have said, as the journal holds it."""
    found = []
    with JournalReader(data / "journal", 0) as reader:
        while frames := reader.read(5_000):
            found += [(frame.topic, frame.payload) for frame in frames if frame.kind is FrameKind.MESSAGE]
    return found


def until_journaled(data: Path, sent: list[Message]) -> None:
    """Wait until the journal has all of it."""
    wanted = set(pairs(sent))

    def missing() -> int:
        time.sleep(0.5)  # all of the journal is read each time
        return len(wanted - set(journaled(data)))

    wait_for(missing, lambda left: not left, seconds=180)


def settle(flow: Flow) -> None:
    """Wait until all that was journaled is stored, committed by an epoch, and healed."""
    head = flow.health()["synced_seq"]

    def is_idle() -> bool:
        told = flow.ask("/pipeline")
        return bool(
            told["committed_seq"] >= head and told["stored_seq"] == told["read_seq"] and told["dirty"] == 0
        )

    wait_for(is_idle, seconds=180)


def everything_else(reader, letters: int) -> dict[str, object]:
    """Metadata, commands, dead letters and episodes, as clients see them."""
    with closing(reader):
        device = reader.device("ledger1")
        episodes = reader.episodes("ledger1", ("cycle", "defrost", "dhw_run", "gap", "change"), 0, 1 << 43, 10_000)
        return {
            "metadata": [(each.name, each.location) for each in device.metadata],
            "command": reader.command("put-1"),
            "letters": [
                (each.device_id, each.reason, each.body) for each in reader.dead_letters(None, None, None, 99)
            ][-letters:],
            "episodes": {(each.kind, each.start, each.end) for each in episodes if each.kind != "gap"},
        }


def test_all_that_was_acknowledged_before_the_backup_is_there_again_once(
    stores: Stores, broker: Mosquitto, tmp_path: Path
) -> None:
    data, backups = tmp_path / "data", tmp_path / "backups"
    load = Load("backup", 4, 12_000, time.time_ns() // 1_000_000)
    messages = iter([*load.messages()])
    flow = start(data, broker, stores)
    publisher = Publisher(broker.port)
    flows = [flow]
    try:
        flow.ask("/commands", {"id": "put-1", "by": "me", "name": "device_put", "body": SITE})
        before = Sending(publisher, messages, 1200)
        before.start()
        before.join()
        publisher.send(Message("odd", "heatpump/odd/data", b"{}"))
        before.end()
        until_journaled(data, before.sent)
        settle(flow)
        at_backup = everything_else(stores.reader(flow), 1)

        meanwhile = Sending(publisher, messages, 3000)
        meanwhile.start()
        wait_for(lambda: len(meanwhile.sent) > 200)
        made = heatpump("backup", backups, **ours(data, broker, stores))
        assert made.returncode == 0, made.stdout + made.stderr
        sent = len(meanwhile.sent)
        wait_for(lambda: len(meanwhile.sent) > min(sent + 100, 2999))
        flow.kill()
        meanwhile.end()
        shutil.rmtree(data)
        stores.destroy()
        queued = Sending(publisher, messages, 300)
        queued.start()
        queued.join()
        queued.end()
        verified = heatpump("backup", backups, "--verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr

        back = heatpump("restore", backups, **ours(data, broker, stores))
        assert back.returncode == 0, back.stdout + back.stderr
        flow = start(data, broker, stores)
        flows.append(flow)
        assert everything_else(stores.reader(flow), 1)["metadata"] == at_backup["metadata"]
        after = Sending(publisher, messages, 800)
        after.start()
        after.join()
        after.end()
        last = before.sent + meanwhile.sent + queued.sent + after.sent
        until_journaled(data, after.sent)
        settle(flow)

        held = journaled(data)
        there = set(held)
        assert [each for each in before.sent if pair(each) not in there] == []
        assert [each for each in queued.sent + after.sent if pair(each) not in there] == []
        assert is_one_hole(meanwhile.sent, there, pairs(last))
        flow.signal(signal.SIGTERM)
        assert flow.ended(60) == 0
        of = {pair(each): each for each in last}
        kept = [of[each] for each in held if each in of]
        verdict = verdict_of(stores, flow, kept, load)
        assert verdict.differences == []
        assert verdict.counts["stored"] == verdict.counts["distinct"] > 2000
        assert verdict.counts["doubled"] == verdict.counts["lost"] == 0
        now = everything_else(stores.reader(flow), 1)
        assert now["command"] == at_backup["command"] and now["command"] is not None
        assert now["letters"] == at_backup["letters"] == [("odd", "empty", b"{}")]
        assert at_backup["episodes"] <= now["episodes"] and at_backup["episodes"]
    finally:
        for each in flows:
            each.kill()
        publisher.close()


def pair(message: Message) -> tuple[str, bytes]:
    return message.topic, message.payload


def pairs(messages: list[Message]) -> list[tuple[str, bytes]]:
    return [pair(each) for each in messages]


def is_one_hole(sent: list[Message], there: set[tuple[str, bytes]], all_sent: list[tuple[str, bytes]]) -> bool:
    """Tell whether what is lost was sent in one go: but for what was sent once more at another time."""
    times = Counter(all_sent)
    lost = [number for number, each in enumerate(sent) if pair(each) not in there]
    hole = range(lost[0], lost[-1] + 1) if lost else range(0)
    return all(pair(sent[number]) not in there or times[pair(sent[number])] > 1 for number in hole)


def verdict_of(stores: Stores, flow: Flow, kept: list[Message], load: Load):
    told = [each for each in kept if each.topic.endswith("/alerts")]
    said = {(each.device_id, json.loads(each.payload)["timestamp"]) for each in told}
    expected = expected_of(kept)
    wanted = [event for event in load.events if (event.device_id, event.at) in said]
    with closing(stores.stored(flow)) as stored:
        return compare(stored, expected, wanted, others={"odd"})


def test_the_manifest_counts_what_is_in_the_store(broker: Mosquitto, tmp_path: Path) -> None:
    stores = Stores("sqlite", tmp_path)
    flow = start(tmp_path / "data", broker, stores)
    publisher = Publisher(broker.port)
    try:
        for message in [
            *zip(Load("few", 2, 400, time.time_ns() // 1_000_000).messages(), range(300), strict=False)
        ]:
            publisher.send(message[0])
        publisher.wait_acknowledged()
        settle(flow)
        made = heatpump("backup", tmp_path / "backups", **ours(tmp_path / "data", broker, stores))
        assert made.returncode == 0, made.stderr
        _, said = manifest.named(tmp_path / "backups")
        assert said.readings == flow.readings()
        assert said.fence is not None and said.recovery is not None
        assert said.recovery <= said.fence.seq <= said.last_seq
    finally:
        flow.kill()
        publisher.close()
