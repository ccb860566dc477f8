"""clock: give every reading its event time (docs/reference/mqtt.md, Time).

In     Reading, Tick, Start, Command device_forget
Out    dated     Reading with `at` and `clock`, in order; the other kinds as they came
       dead      DeadLetter older_than_retention, empty; LetterChange where that was a letter before
       repeated  Reading that the device sent before: acknowledged again, otherwise done with
State  per device: its boot (start, newest uptime), readings that wait for it to be dated, the
       newest time given by arrival, the numbers of its newest readings; shared: the raw retention,
       letters of readings that waited, until a tick gives them an id

Rules, each in one function below: Unix time if plausible; uptime from the boot's start; else the arrival.
"""

from typing import Any
from zlib import crc32

import msgspec

from flows.model.cells import NOTHING
from flows.model.command import Command
from flows.model.dead_letter import DeadLetter, Retry
from flows.model.frame import Start, Tick
from flows.model.reading import EARLIEST_MS, FIRST_ROW, FUTURE_MS, ORDER_STEP, Reading
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.nodes.validate import dead_reading

LONGEST_UPTIME_MS = 10 * 365 * 86_400_000
"""Beyond ten years, a timestamp is neither uptime nor Unix time."""

DRIFT_MS = 2_000
"""Drift of the uptime clock up to here leaves the boot's start alone."""

DRIFT_WINDOW_MS = 3_600_000
"""A clock that runs slow is seen as the smallest delay of a whole window. [ms]"""

JUMP_MS = 60_000
"""An uptime this far ahead of its arrival moves the boot's start only if the next reading says the same."""

FIRST_JUMP_MS = 86_400_000
"""The same before the start is fixed, when a buffered burst may take steps of hours."""

POWER_ON_C = 85.0
"""What a DS18B20 says before its first conversion."""

_POWER_ON_FIELDS = ("temp_inlet", "temp_outlet", "temp_ambient", "temp_indoor", "temp_dhw")
_NUMBERS_KEPT = 256
_MOST_PENDING = 10_000
_MOST_LATE = 50_000


class Boot(msgspec.Struct):
    """One run of a device whose clock is its uptime.

    start    : when it began; fixed once readings were dated with it. [ms since 1970, UTC]
    uptime   : largest seen. [ms]
    dated    : start is fixed.
    low      : smallest (arrival − uptime) since low_from. [ms since 1970, UTC]
    low_from : arrival at which the present drift window began. [ms since 1970, UTC]
    boot_id  : as sent, or None.
    doubtful : where the newest reading that was far ahead of its arrival would put the start, or None.
    said     : what the newest reading of the largest uptime said (CRC), None where an older build did not note it.
    """

    start: int
    uptime: int
    dated: bool
    low: int
    low_from: int
    boot_id: str | None
    doubtful: int | None = None
    said: int | None = None


class DeviceClock(msgspec.Struct):
    """What is remembered of one device's clock.

    arrival_at : newest event time given by arrival. [ms since 1970, UTC]
    numbers    : its newest readings' own numbers and what they said (CRC), oldest first, of boot `numbers_of`.
    boot_id    : of its newest reading.
    seen       : it has sent a reading.
    """

    boot: Boot | None = None
    pending: list[Reading] = []
    arrival_at: int = 0
    numbers: dict[int, int] = {}
    numbers_of: str | None = None
    boot_id: str | None = None
    seen: bool = False


class _Shared(msgspec.Struct):
    """raw_retention_ms: older live readings are refused. waiting: devices with pending readings.

    late: letters of readings that waited, oldest release first; a tick sends as many as it has ids.
    """

    raw_retention_ms: int = 30 * 86_400_000
    waiting: dict[str, None] = {}
    late: list[DeadLetter] = []


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set: the raw retention comes with the start frame."""


def unix_time(reading: Reading) -> int | None:
    """Rule 1: the timestamp as Unix time, None where it is implausible."""
    sent = reading.timestamp
    return int(sent) if sent is not None and EARLIEST_MS <= sent <= reading.arrived + FUTURE_MS else None


def uptime(reading: Reading) -> int | None:
    """Rule 2: the timestamp as milliseconds since boot, None where it cannot be."""
    sent = reading.timestamp
    return int(sent) if sent is not None and 0 < sent < LONGEST_UPTIME_MS else None


def is_reboot(boot: Boot, reading: Reading, up: int) -> bool:
    """Tell a new boot from a late reading of the old one."""
    if reading.boot_id is not None and boot.boot_id is not None:
        return reading.boot_id != boot.boot_id
    if up > boot.uptime or reading.arrived - up <= boot.start + boot.uptime:
        return False
    # A device that crashes again and again may come no further than to one and the same uptime.
    return up < boot.uptime or boot.said not in (None, crc32(reading.cells))


def is_of(boot: Boot, reading: Reading, up: int) -> bool:
    """Tell whether a reading that comes again was of this boot, not of one before or after it."""
    return not is_reboot(boot, reading, up) and reading.arrived - up >= boot.start - JUMP_MS


def is_absurd(boot: Boot, reading: Reading, up: int) -> bool:
    """Tell an uptime that one reading alone claims, and that would carry all later ones into the past."""
    start, before = reading.arrived - up, boot.doubtful
    if start >= boot.start - (JUMP_MS if boot.dated else FIRST_JUMP_MS):
        boot.doubtful = None
        return False
    boot.doubtful = start
    return before is None or abs(start - before) > DRIFT_MS


def follow(boot: Boot, reading: Reading, up: int) -> None:
    """Let a reading of the boot refine what is known of it."""
    start = reading.arrived - up
    boot.uptime = max(boot.uptime, up)
    if not boot.dated:
        boot.start = boot.low = min(boot.start, start)
        return
    if start < boot.start - DRIFT_MS:
        boot.start = boot.low = start
        boot.low_from = reading.arrived
    elif reading.arrived - boot.low_from >= DRIFT_WINDOW_MS:
        if boot.low > boot.start + DRIFT_MS:
            boot.start = boot.low
        boot.low, boot.low_from = start, reading.arrived
    else:
        boot.low = min(boot.low, start)


class Clock(Keyed[DeviceClock, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, DeviceClock, _Shared, snapshot)
        self.counts["pending"] = len(self.shared.late) + sum(len(state.pending) for state in self.devices.values())

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Date every reading; pass the rest on."""
        dated, refused, devices = out["dated"], len(out["dead"]), self.devices
        kept = self.shared.raw_retention_ms
        for item in items:
            kind = type(item)
            if kind is Reading:
                sent, arrived = item.timestamp, item.arrived
                # Most are of a known boot and say when, within what is kept: nothing is remembered of them.
                if (
                    sent is not None
                    and EARLIEST_MS <= sent <= arrived + FUTURE_MS
                    and sent >= arrived - kept
                    and item.number is None
                    and item.retry is None
                    and (state := devices.get(item.device_id)) is not None
                    and state.seen
                    and (item.boot_id is None or item.boot_id == state.boot_id)
                ):
                    item.at = int(sent)  # and its clock is the device's, until it is dated otherwise
                    dated.append(item)
                    continue
                self._reading(item, out)
                continue
            if kind is Tick:
                self._release_waiting(out, item.seq)
                self._send_late(out, item.seq)
            elif kind is Start:
                kept = self.shared.raw_retention_ms = item.raw_retention_ms
            elif kind is Command and item.name == "device_forget":
                self._forget(str(item.body.get("device_id", "")), out, item.seq)
            dated.append(item)
        self.counts["dead readings"] += len(out["dead"]) - refused

    def sizes(self) -> dict[str, int]:
        """Count devices, and the readings that wait for their boot to be dated or for their letter's id."""
        return {**super().sizes(), "pending": self.counts["pending"]}

    def _forget(self, device_id: str, out: Ports, seq: int) -> None:
        """Let what waits go ahead of the command, so that nothing older than a Forget comes after it.

        Letters are dropped: the Forget would take them.
        """
        if device_id not in self.devices:
            return
        self._release(device_id, self.devices[device_id], out, seq)
        kept = [letter for letter in self.shared.late if letter.device_id != device_id]
        gone = len(self.shared.late) - len(kept)
        self.counts.update({"dropped": gone, "pending": -gone})
        self.shared.late = kept
        self.forget(device_id)

    def _reading(self, reading: Reading, out: Ports) -> None:
        state = self.state_of(reading.device_id)
        if reading.retry is not None:
            self._retried(state, reading, reading.retry, out)
            return
        if reading.number is not None and self._is_repeated(state, reading, reading.number):
            self.counts["duplicate"] += 1
            out["repeated"].append(reading)
            return
        at = unix_time(reading)
        if at is not None:
            if self._is_first(state, reading):
                self._power_on(state, reading, first=True)
            self._emit(reading, at, "device", out)
            return
        up = uptime(reading)
        if reading.retained:  # the broker's memory of a reading that nothing dates
            self.counts["dropped"] += 1
        elif up is not None:
            self._uptime(state, reading, up, out)
        else:
            self._power_on(state, reading, first=self._is_first(state, reading))
            self._arrival(state, reading, out)

    def _retried(self, state: DeviceClock, reading: Reading, retry: Retry, out: Ports) -> None:
        """Date what was a dead letter by its own arrival; it says nothing of how the device's clock goes now.

        Where nothing else dates it that is a time which is free: what it came together with was dated without it.

        Nobody knows any more whether it was the first of its boot, so 85.0 is a power-on value.
        """
        self._power_on(state, reading, first=True)
        at, up, boot = unix_time(reading), uptime(reading), state.boot
        place = reading.order % ORDER_STEP if retry.letter_id is None else 0
        arrival = max(reading.arrived, retry.free + place)
        if at is not None:
            self._emit(reading, at, "device", out)
        elif up is None:
            self._emit(reading, arrival, "arrival", out)
        elif boot is None or not is_of(boot, reading, up):
            self._emit(reading, arrival, "boot", out)
        elif boot.dated:
            self._date(boot, reading, up, out)
        else:
            self._wait(state, reading, out)

    def _arrival(self, state: DeviceClock, reading: Reading, out: Ports) -> None:
        """Rule 3; two in one millisecond are 1 ms apart."""
        state.arrival_at = max(reading.arrived, state.arrival_at + 1)
        self._emit(reading, state.arrival_at, "arrival", out)

    def _is_repeated(self, state: DeviceClock, reading: Reading, number: int) -> bool:
        """Recognise a reading by the number its device gave it, among the newest of the same boot.

        It must say the same, too: a short counter begins anew long before the boot ends. What the broker remembers
        is not noted: it may be of no use further on, and its original still to come.
        """
        content, of_boot = crc32(reading.text), state.numbers_of == reading.boot_id
        if of_boot and reading.boot_id is not None and state.numbers.get(number) == content:
            return True
        if reading.retained:
            return False
        if not of_boot:
            state.numbers, state.numbers_of = {}, reading.boot_id
        state.numbers.pop(number, None)
        state.numbers[number] = content
        if len(state.numbers) > _NUMBERS_KEPT:
            del state.numbers[next(iter(state.numbers))]
        return False

    def _is_first(self, state: DeviceClock, reading: Reading) -> bool:
        """Tell the first reading of a boot, as far as a device without uptime lets us know."""
        first = not state.seen or (reading.boot_id is not None and reading.boot_id != state.boot_id)
        state.seen = True
        state.boot_id = reading.boot_id or state.boot_id
        return first

    def _uptime(self, state: DeviceClock, reading: Reading, up: int, out: Ports) -> None:
        boot, said = state.boot, crc32(reading.cells)
        first = boot is None or is_reboot(boot, reading, up)
        self._power_on(state, reading, first)
        state.seen, state.boot_id = True, reading.boot_id or state.boot_id
        if boot is None or first:
            self._release(reading.device_id, state, out, reading.order // ORDER_STEP)
            start = reading.arrived - up
            boot = state.boot = Boot(start, up, False, start, reading.arrived, reading.boot_id, said=said)
        elif is_absurd(boot, reading, up):
            self._arrival(state, reading, out)
            return
        boot.said = said if up >= boot.uptime else boot.said
        follow(boot, reading, up)
        if boot.dated:
            self._date(boot, reading, up, out)
            return
        self._wait(state, reading, out)

    def _wait(self, state: DeviceClock, reading: Reading, out: Ports) -> None:
        """Keep a reading until its boot is dated; in a flood that would fill the memory, date it at once."""
        # What is saved says names, and holds no message whole.
        reading.cells, reading.sent, reading.raw = NOTHING, dict(reading.values), reading.text
        state.pending.append(reading)
        self.counts["pending"] += 1
        self.shared.waiting[reading.device_id] = None
        if len(state.pending) >= _MOST_PENDING or len(self.shared.late) >= _MOST_LATE:
            self._release(reading.device_id, state, out, reading.order // ORDER_STEP)

    def _release_waiting(self, out: Ports, seq: int) -> None:
        for device_id in list(self.shared.waiting):
            self._release(device_id, self.state_of(device_id), out, seq)

    def _release(self, device_id: str, state: DeviceClock, out: Ports, seq: int) -> None:
        """Fix the start of the boot and date what waited for it.

        seq : of the frame that releases them. A letter of an older one waits for an id as new as its release, or
              the store would take it for one that it has counted already.
        """
        released: Ports = {**out, "dead": []}
        pending, state.pending = state.pending, []
        self.counts["pending"] -= len(pending)
        self.shared.waiting.pop(device_id, None)
        if state.boot is None:
            return
        state.boot.dated = True
        for reading in pending:
            self._date(state.boot, reading, uptime(reading) or 0, released)
        for letter in released["dead"]:
            if type(letter) is DeadLetter and letter.order // ORDER_STEP < seq:
                self.shared.late.append(letter)
                self.counts["pending"] += 1
            else:
                out["dead"].append(letter)

    def _send_late(self, out: Ports, seq: int) -> None:
        """Give letters the ids of a tick, which has no readings of its own; what it has no id for waits on."""
        going, self.shared.late = self.shared.late[:FIRST_ROW], self.shared.late[FIRST_ROW:]
        self.counts["pending"] -= len(going)
        for index, letter in enumerate(going):
            out["dead"].append(msgspec.structs.replace(letter, order=seq * ORDER_STEP + index))

    def _date(self, boot: Boot, reading: Reading, up: int, out: Ports) -> None:
        if reading.sent is not None:  # it has waited
            reading.values = reading.sent
        self._emit(reading, boot.start + up, "boot", out)

    def _power_on(self, state: DeviceClock, reading: Reading, first: bool) -> None:
        if not first:
            return
        values = reading.values
        wrong = [name for name in _POWER_ON_FIELDS if values.get(name) == POWER_ON_C]
        if wrong:
            reading.values = {name: value for name, value in values.items() if name not in wrong}
            self.counts["power-on value"] += len(wrong)

    def _emit(self, reading: Reading, at: int, clock: Any, out: Ports) -> None:
        if reading.cells == NOTHING:
            out["dead"].append(dead_reading(reading, "empty", "no field of the reading could be kept"))
            return
        oldest = reading.arrived - self.shared.raw_retention_ms
        if at < oldest:
            days = self.shared.raw_retention_ms // 86_400_000
            detail = f"the reading is older than the {days} days that raw readings are kept; import it instead"
            out["dead"].append(dead_reading(reading, "older_than_retention", detail))
            return
        reading.at, reading.clock = at, clock
        out["dated"].append(reading)


NODE = Node("clock", Params, Clock, out=("dated", "dead", "repeated"), version=1)
