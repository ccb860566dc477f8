"""Ingest: MQTT, seconds and commands into the journal, acknowledged once it is durable.

One thread does everything: wait for the socket, take what has arrived, append it, sync once for all of it, only
then acknowledge. An error that is not the network's ends the process: nothing unsynced was acknowledged, the
broker and the senders of commands still have it.
"""

import logging
import os
import queue
import select
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import msgspec

from flows.errors import JournalError, JournalFull
from flows.ingest.commands import CommandPort, Nodes, Report, Standings, Traces
from flows.ingest.connection import Connection
from flows.ingest.redelivery import MOST, Redeliveries
from flows.ingest.ticks import Seconds
from flows.journal.reader import newest_first
from flows.journal.writer import Journal
from flows.model.command import CommandRequest
from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_of, tick_payload
from flows.model.message import Message
from flows.model.times import now_ms
from flows.settings import Settings

log = logging.getLogger("heatpump.ingest")

BATCH_MESSAGES = 2_000
BATCH_BYTES = 4_000_000
WAIT_S = 0.2
STOP_S = 5.0

Asked = tuple[FrameKind, str, bytes, "Future[int]"]
"""What is to be journaled, and who waits for its seq: kind, topic, payload, future."""


class Ingest:
    """The one writer of the journal.

    second_at_start : number of the last second that the journal held at the start.
    pipeline        : answers GET /pipeline of the command port; set before `start`.
    extra_health    : adds to GET /health; set before `start`.
    standing        : answers GET /history/…; node, trace: GET /nodes/… and /trace/…; set before `start`.
    """

    def __init__(self, settings: Settings, journal: Journal, start: Start) -> None:
        self._journal, self._start = journal, start
        self._connection = Connection(settings, self)
        self._redeliveries, self._seconds = Redeliveries(), Seconds(0)
        self.second_at_start = 0
        self.pipeline: Report = dict
        self.extra_health: Report = dict
        self.standing: Standings = lambda device_id, import_id: {}
        self.node: Nodes = lambda step: {}
        self.trace: Traces = lambda device_id, after: {}
        self.port = CommandPort(
            settings,
            self.submit,
            lambda: self.pipeline(),
            self._full_health,
            self.submit_history,
            lambda device_id, import_id: self.standing(device_id, import_id),
            lambda step: self.node(step),
            lambda device_id, after: self.trace(device_id, after),
        )
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._guarded, name="ingest", daemon=True)
        self._stopping = False
        self._unacknowledged: list[int] = []
        self._full = ""
        self._counts = {"messages": 0, "oversized": 0, "skipped": 0, "commands": 0, "subscriptions": 0}

    def start(self) -> None:
        """Journal the start, open the command port, connect in the background."""
        unconfirmed, last_tick = _recent(newest_first(self._journal.folder))
        self._redeliveries, self._seconds = Redeliveries(unconfirmed), Seconds(last_tick)
        self.second_at_start = last_tick
        self._journal.append(FrameKind.START, now_ms(), payload=start_payload(self._start))
        self._journal.commit()
        self.port.start()
        self._thread.start()

    def stop(self) -> None:
        """Journal and acknowledge what is under way, leave the broker, close the command port."""
        self.port.stop()
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def submit(self, request: CommandRequest) -> "Future[int]":
        """Have a command journaled; the future gives its seq once it is durable, or JournalFull."""
        return self._submit(FrameKind.COMMAND, "", msgspec.json.encode(request))

    def submit_history(self, topic: str, payload: bytes) -> "Future[int]":
        """Have a chunk of history journaled, as a command."""
        return self._submit(FrameKind.HISTORY, topic, payload)

    def _submit(self, kind: FrameKind, topic: str, payload: bytes) -> "Future[int]":
        future: Future[int] = Future()
        self._asked.put((kind, topic, payload, future))
        self._wake()
        return future

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"w")
        except BlockingIOError:
            pass

    def _guarded(self) -> None:
        try:
            while not self._stopping:
                self._step()
            self._step()
            self._connection.disconnect("stopped")
        except JournalError as error:
            log.critical("%s; ending unacknowledged, the broker sends again", error)
            os._exit(1)
        except BaseException:
            log.critical("ingest failed; ending unacknowledged, the broker sends again", exc_info=True)
            os._exit(1)

    def _step(self) -> None:
        """One round: wait, take, append, sync, acknowledge."""
        room = self._has_room()
        if room and not self._stopping:
            self._connection.keep_up()
        self._wait(room)
        answers = self._append_commands(room)
        if room:
            self._connection.receive(BATCH_MESSAGES, BATCH_BYTES)
        self._count_second()
        self._journal.commit()
        if self._unacknowledged:
            safe, self._unacknowledged = self._unacknowledged, []
            self._connection.acknowledge(safe)
        if self._seconds.ends(time.monotonic()):
            self._connection.ping()
            self._redeliveries.ping_sent()
        for future, seq in answers:
            future.set_result(seq)

    def _has_room(self) -> bool:
        try:
            self._journal.check_room()
        except JournalFull as full:
            if not self._full:
                log.error("%s", full)
                self._connection.disconnect(str(full))
            self._full = str(full)
            return False
        self._full = ""
        return True

    def _wait(self, room: bool) -> None:
        socket = self._connection.fileno()
        sockets = [socket] if socket is not None and room else []
        writing = sockets if self._connection.wants_write else []
        timeout = 0.0 if self._stopping or self._connection.has_unread else WAIT_S
        readable, writable, _ = select.select([self._wake_read, *sockets], writing, [], timeout)
        if self._wake_read in readable:
            os.read(self._wake_read, 4_096)
        if writable:
            self._connection.write()

    def _append_commands(self, room: bool) -> list[tuple["Future[int]", int]]:
        answers = []
        while not self._asked.empty():
            kind, topic, payload, future = self._asked.get()
            if room:
                answers.append((future, self._journal.append(kind, now_ms(), topic, payload)))
            else:
                future.set_exception(JournalFull(self._full))
        self._counts["commands"] += len(answers)
        return answers

    def _count_second(self) -> None:
        """Journal a second if the broker has confirmed it."""
        now = time.monotonic()
        if self._seconds.asked and self._connection.ping_answered:
            self._append(self._redeliveries.ping_answered())
            if self._seconds.confirmed(now):
                self._journal.append(FrameKind.TICK, now_ms(), payload=tick_payload(self._seconds.n))

    def on_connected(self, session_present: bool) -> None:
        """See Owner."""
        self._redeliveries.connected(session_present)

    def on_subscribed(self) -> None:
        """See Owner."""
        self._counts["subscriptions"] += 1
        self._seconds.subscribed(time.monotonic())

    def on_lost(self) -> None:
        """See Owner."""
        self._seconds.lost()
        self._unacknowledged.clear()

    def on_messages(self, messages: list[Message]) -> None:
        """Append those that are new and for us to the journal's buffer."""
        if self._redeliveries.all_new(messages):
            self._append(messages)
            return
        for message in messages:
            known, new = self._redeliveries.judge(message) if message.qos else ([], [message])
            if known:
                log.debug("%s messages were sent again", len(known))
            self._unacknowledged += [one.packet_id for one in known]
            self._append(new)

    def _append(self, messages: list[Message]) -> None:
        kept = [one for one in messages if not one.is_command]
        self._journal.append_messages(kept)
        self._redeliveries.journaled([one for one in kept if one.qos])
        self._unacknowledged += [one.packet_id for one in messages if one.qos]
        self._counts["messages"] += len(kept)
        self._counts["oversized"] += sum([one.original_bytes > 0 for one in kept])
        self._counts["skipped"] += len(messages) - len(kept)

    def health(self) -> dict[str, Any]:
        """Say how ingest and the journal are."""
        journal, connection, now = self._journal, self._connection, time.monotonic()
        damage, since, last = journal.damage, connection.subscribed_since, connection.last_message
        syncs = sorted(journal.sync_ms)
        return {
            "connected": since is not None,
            "problem": self._full or connection.problem,
            "subscribed_s": None if since is None else round(now - since, 1),
            "last_message_s": None if last is None else round(now - last, 1),
            "full": bool(self._full),
            "journal_id": journal.journal_id,
            "first_seq": journal.first_seq,
            "last_seq": journal.last_seq,
            "synced_seq": journal.synced_seq,
            "bytes": journal.size,
            "free_bytes": journal.free_bytes,
            "seconds": self._seconds.n,
            "unacknowledged": len(self._unacknowledged),
            "redeliveries": self._redeliveries.count,
            **self._counts,
            "torn_bytes": journal.torn,
            "damaged_regions": damage.regions,
            "damaged_bytes": damage.size,
            "missing_frames": damage.frames,
            "clock_steps": journal.clock_steps,
            "sync_ms_p50": _percentile(syncs, 0.5),
            "sync_ms_p99": _percentile(syncs, 0.99),
        }

    def _full_health(self) -> dict[str, Any]:
        return {**self.health(), **self.extra_health()}


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[int(share * (len(ordered) - 1))], 2) if ordered else None


def _recent(newest_first: Iterable[Frame]) -> tuple[list[Message], int]:
    """Read the journal backwards: the messages that may be sent again, oldest first, and the last tick's number.

    What was journaled before the last tick but one was acknowledged before the last one's ping.
    """
    unconfirmed: list[Message] = []
    ticks: list[int] = []
    for frame in newest_first:
        if frame.kind is FrameKind.TICK:
            ticks.append(tick_of(frame).n)
        elif frame.kind is FrameKind.MESSAGE and frame.qos and len(ticks) < 2 and len(unconfirmed) < MOST:
            unconfirmed.append(_message_of(frame))
        if len(ticks) == 2 or (ticks and len(unconfirmed) == MOST):
            break
    return unconfirmed[::-1], ticks[0] if ticks else 0


def _message_of(frame: Frame) -> Message:
    return Message(
        frame.topic,
        frame.payload,
        frame.qos,
        frame.retain,
        frame.dup,
        frame.packet_id,
        frame.arrived,
        frame.original_bytes,
    )
