"""One proof: a private site takes readings while its processes are killed; then store and books are compared."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.errors import StoreError
from flows.proof.books import Books, Found
from flows.proof.brokers import Rumqttd
from flows.proof.kills import Kills, send
from flows.proof.site import Publisher, Site, wait_until
from flows.store import open_reader
from flows.store.protocol import StoreReader

LOOK_EVERY_S = 0.5
SETTLE_S = 120.0


class Plan(NamedTuple):
    """seconds: of publishing [s]; rate: messages a second, all devices together; kills: of flow and api."""

    seconds: int = 60
    rate: int = 200
    kills: int = 8
    devices: int = 5
    seed: str = "1"


class Strike(NamedTuple):
    """One kill -9. at: since publishing began. [s]"""

    at: float
    name: str


class Progress:
    """How far it has come; written by the run, read by whoever shows it.

    phase : what it does now, in words.
    found : of the newest look into the store; of all of it, once `over`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.phase, self.over = "starting broker, flow and API", False
        self.books = Books(plan.devices)
        self.sent = self.acknowledged = 0
        self.began: float | None = None
        self.found = Found(0, 0, 0)
        self.strikes: list[Strike] = []

    @property
    def elapsed_s(self) -> float:
        """Since publishing began. [s]"""
        return 0.0 if self.began is None else time.monotonic() - self.began


def prove(folder: Path, progress: Progress) -> Found:
    """Do all of it in a new folder: nothing of an installation is touched. Raises RuntimeError, TimeoutError."""
    plan = progress.plan
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    broker = Rumqttd(folder / "broker", dies_with_us=True)
    broker.start()
    site = Site(folder, broker.port)
    try:
        site.start()
        with closing(Publisher(broker.port)) as publisher, closing(open_reader(site.store)) as reader:
            with _watched(reader, publisher, progress):
                progress.phase, progress.began = "publishing, and killing with -9", time.monotonic()
                told = lambda at, name: progress.strikes.append(Strike(at, name))  # noqa: E731
                kills = Kills(plan.seed, plan.seconds, plan.kills, site, told)
                send(publisher, progress.books.messages(plan.seconds * plan.rate), plan.rate, kills)
                progress.phase = "waiting until what was sent is stored"
                publisher.wait_acknowledged()
                _settle(site, reader, progress)
            progress.sent, progress.acknowledged = publisher.sent, publisher.acknowledged
            progress.phase = "comparing store and books, reading by reading"
            progress.found = progress.books.audit(reader)
    finally:
        site.stop()
        broker.stop()
    progress.phase, progress.over = "done", True
    return progress.found


def _settle(site: Site, reader: StoreReader, progress: Progress) -> None:
    """Wait for the last readings; what does not come in two minutes is found missing."""
    try:
        wait_until("the last reading is stored", lambda: progress.books.newest_is_stored(reader), SETTLE_S)
        wait_until("nothing is left to fold", site.is_idle, SETTLE_S)
    except TimeoutError as error:
        progress.phase = f"{error}; comparing what there is"


@contextmanager
def _watched(reader: StoreReader, publisher: Publisher, progress: Progress) -> Iterator[None]:
    """Look into the store now and then, while it is written and its writer killed."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            progress.sent, progress.acknowledged = publisher.sent, publisher.acknowledged
            try:
                progress.found = progress.books.look(reader)
            except StoreError:
                continue  # the flow is just being started again: the next look tells

    watcher = threading.Thread(target=look, name="look", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(10)
