"""device: keep the register of devices, and say daily what retention no longer covers.

In     Reading, Status, Tick, Start, Command, History
Out    items  the same, commands on devices replaced by MetadataChanged or Forgotten
       rows   DeviceRow (at first sight, at a change, and at most once a tick for last_seen), Forget, Retain,
              CommandOutcome; DeadLetter older_than_retention of what retention has passed already;
              LetterChange of a dead letter whose reading goes on to be stored, or cannot be
State  per device: attributes, online, metadata; shared: retentions, the day retention has reached, its work list

A device's commands follow its messages in the pipe, so a correction takes effect between two readings.
"""

from typing import Any

import msgspec

from flows.errors import BadQuery
from flows.model.command import Command, done, refused
from flows.model.device import (
    DEVICE_ID,
    DeviceMetadata,
    Forgotten,
    MetadataChanged,
    check_metadata,
    metadata_at,
    with_metadata,
)
from flows.model.frame import Start, Tick
from flows.model.history import History
from flows.model.reading import ORDER_STEP, Reading, Status
from flows.model.rows import DeviceRow, Forget, Retain
from flows.model.times import DAY_MS
from flows.nodes.letters import settled
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.nodes.validate import dead_reading

TICKS_A_DAY_OF_RETENTION = 43_200
"""Retention moves by a day at most in so many ticks, two days a day.

A server clock that jumps ahead must not empty the store; the number of ticks does not jump with it.
"""

DEVICES_A_TICK = 5
MOST_ATTRIBUTES = 64


class DeviceState(msgspec.Struct):
    """What is registered of one device.

    last_seen : arrival of its newest reading. [ms since 1970, UTC]
    order     : of that reading.
    """

    last_seen: int = 0
    order: int = 0
    online: bool | None = None
    attributes: dict[str, str] = {}
    metadata: list[DeviceMetadata] = []


class _Shared(msgspec.Struct):
    """Retentions [ms]; retained: day up to which raw rows were let go [ms]; work: devices still to go through.

    moved: number of the tick at which `retained` last moved.
    asked: devices still to go through for a command, before these times: raw, minutes, dead letters.
    spoke: devices with a reading since the last tick. forgotten: devices that have not spoken since they were.
    """

    raw_retention_ms: int = 30 * DAY_MS
    minute_retention_ms: int = 90 * DAY_MS
    dead_letter_retention_ms: int = 90 * DAY_MS
    retained: int = 0
    moved: int = -TICKS_A_DAY_OF_RETENTION
    work: list[str] = []
    asked: list[str] = []
    before: tuple[int, int, int] = (0, 0, 0)
    spoke: dict[str, None] = {}
    forgotten: dict[str, None] = {}


class Cutoffs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `retain`: what lies before these times goes. [ms since 1970, UTC]"""

    raw_before: int
    minute_before: int
    dead_letter_before: int


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set: retentions come with the start frame."""


class Register(Keyed[DeviceState, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, DeviceState, _Shared, snapshot)

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Register what devices say; carry out commands on devices."""
        passed, rows, forgotten = out["items"], out["rows"], self.shared.forgotten
        devices, touched, shared = self.devices, self._touched, self.shared
        for item in items:
            kind = type(item)
            if kind is Reading:
                state = devices.get(item.device_id)
                # Most are of a known device that says nothing new of itself.
                if (
                    state is not None
                    and not (item.retained or forgotten)
                    and (item.version is None or item.version == state.attributes.get("version"))
                    and item.at >= shared.retained
                ):
                    state.last_seen, state.order = item.arrived, item.order
                    touched.add(item.device_id)
                    shared.spoke[item.device_id] = None
                    passed.append(item)
                    continue
                if forgotten and self._is_forgotten(item):
                    self._not_spoken(item, rows)
                    continue
                if item.at < self.shared.retained:
                    detail = "the reading is older than what is kept raw by now; import it instead"
                    rows.append(dead_reading(item, "older_than_retention", detail))
                    self.counts["dead readings"] += 1
                    continue
                if item.retry is not None:
                    rows.extend(settled(item))
                self._reading(item, rows)
            elif kind is Status:
                if forgotten and self._is_forgotten(item):
                    self.counts["forgotten status"] += 1
                    continue
                self._status(item, rows)
            elif kind is Tick:
                self._tick(item, rows)
            elif kind is History:
                self._history(item, rows)
            elif kind is Start:
                self.shared.raw_retention_ms = item.raw_retention_ms
                self.shared.minute_retention_ms = item.minute_retention_ms
                self.shared.dead_letter_retention_ms = item.dead_letter_retention_ms
            elif kind is Command and item.name != "alert_ack":
                self._command(item, passed, rows)
                continue
            passed.append(item)

    def _is_forgotten(self, item: Reading | Status) -> bool:
        """Tell what the broker remembers of a forgotten device from the device coming back."""
        forgotten = self.shared.forgotten
        if item.device_id in forgotten and not item.retained:
            del forgotten[item.device_id]
        return item.device_id in forgotten

    def _not_spoken(self, reading: Reading, rows: list[Any]) -> None:
        """Let go what the broker remembers of a forgotten device; a letter that is tried again stays one."""
        if reading.retry is None:
            self.counts["dropped"] += 1
            return
        rows.append(dead_reading(reading, "forgotten", "the device was forgotten and has not spoken since"))
        self.counts["dead readings"] += 1

    def _reading(self, reading: Reading, rows: list[Any]) -> None:
        device_id, version = reading.device_id, reading.version
        known = device_id in self.devices
        state = self.state_of(device_id)
        if not reading.retained:  # else it came from the broker's memory: the device did not speak just now
            state.last_seen, state.order = reading.arrived, reading.order
        if not known:
            seen = None if reading.retained else reading.arrived
            rows.append(DeviceRow(device_id, reading.order, last_seen=seen))
        elif not reading.retained:
            self.shared.spoke[device_id] = None
        if version is not None and state.attributes.get("version") != version:
            self._attribute(reading, "version", version, rows)

    def _history(self, history: History, rows: list[Any]) -> None:
        """Know a device of which there is only history: it is listed, and retention covers it."""
        if history.device_id not in self.devices:
            self.state_of(history.device_id)
            rows.append(DeviceRow(history.device_id, history.order))

    def _attribute(self, item: Reading | Status, name: str, value: str, rows: list[Any]) -> None:
        attributes = self.devices[item.device_id].attributes
        if attributes.get(name) == value:
            return
        if name not in attributes and len(attributes) >= MOST_ATTRIBUTES:
            self.counts["attributes beyond 64"] += 1
            return
        attributes[name] = value
        rows.append(DeviceRow(item.device_id, item.order, attributes={name: value}))

    def _status(self, status: Status, rows: list[Any]) -> None:
        if status.device_id not in self.devices:
            rows.append(DeviceRow(status.device_id, status.order))
        state = self.state_of(status.device_id)
        if isinstance(status.value, str):
            self._attribute(status, status.name, status.value, rows)
        elif state.online is not status.value:
            state.online = status.value
            rows.append(DeviceRow(status.device_id, status.order, online=status.value))

    def _tick(self, tick: Tick, rows: list[Any]) -> None:
        shared = self.shared
        for device_id in shared.spoke:
            state = self.devices[device_id]
            rows.append(DeviceRow(device_id, state.order, last_seen=state.last_seen))
        shared.spoke = {}
        self._retain(tick, rows)

    def _retain(self, tick: Tick, rows: list[Any]) -> None:
        """Once a day, let rows go device by device; a day more is kept than promised, for refolds at its edge."""
        shared = self.shared
        day = (tick.arrived - shared.raw_retention_ms) // DAY_MS * DAY_MS - DAY_MS
        if shared.retained == 0:
            shared.retained = day
        just_moved = 0 <= tick.n - shared.moved < TICKS_A_DAY_OF_RETENTION
        if day > shared.retained and not shared.work and not just_moved:
            shared.retained, shared.moved = shared.retained + DAY_MS, tick.n
            shared.work = ["", *sorted(self.devices)]
        for device_id in shared.work[:DEVICES_A_TICK]:
            # The other retentions keep their distance to the raw one, so all move at the same bounded pace.
            ago = shared.retained + shared.raw_retention_ms + DAY_MS
            rows.append(
                Retain(
                    device_id,
                    tick.seq * ORDER_STEP,
                    shared.retained,
                    ago - shared.minute_retention_ms,
                    ago - shared.dead_letter_retention_ms,
                )
            )
        del shared.work[:DEVICES_A_TICK]
        rows += [
            Retain(device_id, tick.seq * ORDER_STEP, *shared.before) for device_id in shared.asked[:DEVICES_A_TICK]
        ]
        del shared.asked[:DEVICES_A_TICK]

    def _retain_now(self, command: Command, rows: list[Any]) -> None:
        """Let rows go at once that a shorter retention no longer covers, device by device."""
        shared = self.shared
        try:
            cutoffs = msgspec.convert(command.body, Cutoffs)
        except msgspec.ValidationError as error:
            rows.append(refused(command, f"retain: {error}"))
            return
        before = (cutoffs.raw_before, cutoffs.minute_before, cutoffs.dead_letter_before)
        if not 0 <= min(before) <= max(before) <= command.at - DAY_MS:
            rows.append(refused(command, "retain: times must be at least a day before it is asked"))
            return
        shared.retained = max(shared.retained, cutoffs.raw_before)
        earlier = shared.before if shared.asked else (0, 0, 0)
        shared.before = (max(earlier[0], before[0]), max(earlier[1], before[1]), max(earlier[2], before[2]))
        shared.asked = ["", *sorted(self.devices)]
        rows.append(done(command, f"goes through {len(self.devices)} devices, {DEVICES_A_TICK} a second"))

    def _command(self, command: Command, passed: list[Any], rows: list[Any]) -> None:
        device_id = str(command.body.get("device_id", ""))
        if command.name == "retain":
            self._retain_now(command, rows)
        elif not DEVICE_ID.fullmatch(device_id):
            rows.append(refused(command, f"device_id {device_id!r:.80} is no valid device id"))
        elif command.name == "device_forget":
            self._forget(command, device_id, passed, rows)
        else:
            self._put(command, device_id, passed, rows)

    def _forget(self, command: Command, device_id: str, passed: list[Any], rows: list[Any]) -> None:
        if device_id not in self.devices:
            rows.append(refused(command, f"device {device_id} is not known"))
            return
        self.forget(device_id)
        self.shared.spoke.pop(device_id, None)
        self.shared.forgotten[device_id] = None
        order = command.seq * ORDER_STEP
        rows.extend((Forget(device_id, order), done(command, f"forgot {device_id}")))
        passed.append(Forgotten(device_id, order))

    def _put(self, command: Command, device_id: str, passed: list[Any], rows: list[Any]) -> None:
        """Take new metadata: from `valid_from` on, by default from ever for the first, else from now.

        Those that are in force already are no entry, or who says them every hour would fill the history.
        """
        body = {name: value for name, value in command.body.items() if name != "device_id"}
        history = self.devices[device_id].metadata if device_id in self.devices else []
        from_now = body.get("valid_from") is None
        if from_now:
            body["valid_from"] = command.at if history else 0
        try:
            entry = msgspec.convert(body, DeviceMetadata)
            if "group" not in body:  # who may see a device changes only by who names a group
                kept = metadata_at(history, entry.valid_from).group
                entry = msgspec.structs.replace(entry, group=kept)
            check_metadata(entry)
            after = with_metadata(history, entry)
        except (msgspec.ValidationError, BadQuery) as error:
            rows.append(refused(command, f"metadata: {error}"))
            return
        before = metadata_at(history, entry.valid_from)
        if from_now and history and entry == msgspec.structs.replace(before, valid_from=entry.valid_from):
            rows.append(done(command, f"metadata of {device_id} are as they were"))
            return
        order = command.seq * ORDER_STEP
        if device_id not in self.devices:
            rows.append(DeviceRow(device_id, order))
        state = self.state_of(device_id)
        state.metadata = after
        rows.append(DeviceRow(device_id, order, metadata=state.metadata))
        rows.append(done(command, f"metadata of {device_id} stored"))
        recompute = entry.valid_from if computes_otherwise(before, entry) else None
        passed.append(MetadataChanged(device_id, order, state.metadata, recompute))


def computes_otherwise(before: DeviceMetadata, after: DeviceMetadata) -> bool:
    """Tell whether two metadata give different derived values or energies."""
    names = ("refrigerant", "pressure_absolute", "glycol_percent", "carnot_fraction")
    return any(getattr(before, name) != getattr(after, name) for name in names)


NODE = Node("device", Params, Register, out=("items", "rows"), version=1)
