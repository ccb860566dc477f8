"""alert: judge readings by threshold rules, ticks by who sent none; keep what devices raise themselves.

In     Reading, Status, DeviceAlert, Tick, Start, Command alert_ack, MetadataChanged, Forgotten
Out    items        the same, but for the command
       transitions  Transition
       rows         CommandOutcome
State  per device: open alerts, newest judged event time, since when it runs out of defrost, overrides, last heard;
       shared: the offline limit, the number of the newest tick

docs/reference/alerts.md tells the rules; they are data (graphs/alert_rules.toml).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from flows.errors import ConfigError
from flows.model.alert import AlertState, Level, Transition
from flows.model.cells import COLUMN, matrix_of
from flows.model.command import Command, done, refused
from flows.model.device import Bounds, DeviceMetadata, Forgotten, MetadataChanged, metadata_at
from flows.model.frame import Start, Tick
from flows.model.quantities import BY_NAME
from flows.model.reading import ORDER_STEP, DeviceAlert, Reading, Status
from flows.model.rules import SHIPPED_RULES, Rule, bands, load_rules, noteworthy
from flows.nodes.payload import ALL_WELL
from flows.nodes.ports import Keyed, Node, Ports, Snapshot

OFFLINE = "device_offline"
SETTLE_MS = 180_000
"""Pressures are not judged in the first minutes of a run or after a defrost. [ms]"""

_LEVELS: dict[int, Level] = {1: "warning", 2: "critical"}
_RANK = {"warning": 1, "critical": 2}


class Cause(msgspec.Struct, frozen=True):
    """What changes an alert: order and times of a reading, status, tick or command; value: what was judged."""

    order: int
    at: int
    arrived: int
    value: float | None = None


class OpenAlert(msgspec.Struct):
    """An alert that has not cleared. since: event time of the raise. [ms since 1970, UTC]"""

    id: str
    level: Level
    since: int
    message: str
    acknowledged_by: str = ""


class AlertMemory(msgspec.Struct):
    """What is remembered of one device.

    at            : newest judged event time. [ms since 1970, UTC]
    settled_from  : event time from which pressures may be judged, None while they may not. [ms since 1970, UTC]
    heard         : number of the newest tick when it last sent a reading, −1 if it never did.
    online        : its last `status/online`, None if it never sent one.
    metadata      : history with its own limits, oldest valid_from first.
    """

    open: dict[str, OpenAlert] = {}
    at: int = -1
    settled_from: int | None = None
    heard: int = -1
    online: bool | None = None
    metadata: list[DeviceMetadata] = []


_NEW = AlertMemory()


class _Shared(msgspec.Struct):
    """offline_ticks: the limit; tick: number of the newest."""

    offline_ticks: int = 600
    tick: int = 0


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set: rules are the shipped file's, thresholds of one device its metadata's."""


def read_rules(path: Path = SHIPPED_RULES) -> list[Rule]:
    """Load and check the rules. Raises ConfigError naming the file, the rule and the field."""
    try:
        rules = load_rules(path)
    except (OSError, ValueError) as error:
        raise ConfigError("alert.rules", str(path), f"cannot be used: {error}") from None
    for rule in rules:
        if rule.quantity not in BY_NAME:
            raise ConfigError(f"alert.rules [{rule.alert_type}]", rule.quantity, "is no quantity")
    return rules


class Alerts(Keyed[AlertMemory, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, AlertMemory, _Shared, snapshot)
        self._rules = read_rules()
        self._bands = bands(self._rules)
        self._due: dict[int, list[str]] = {}
        for device_id, state in self.devices.items():
            self._watch(device_id, state)

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Judge in the journal's order."""
        passed, changes = out["items"], out["transitions"]
        devices, touched, tick = self.devices, self._touched, self.shared.tick
        facts = iter(self._looked_at([item for item in items if type(item) is Reading]))
        for item in items:
            kind = type(item)
            if kind is Reading:
                running, defrost, leaves = next(facts)
                state, at = devices.get(item.device_id, _NEW), item.at
                # Most are newer than what was judged, and nothing is wrong with them.
                if (
                    not (leaves or state.open or state.metadata or item.retained or state.heard < 0)
                    and (item.levels is ALL_WELL or not item.levels)
                    and at > state.at
                ):
                    state.heard, state.at = tick, at
                    touched.add(item.device_id)
                    if running == 0.0 or defrost == 1.0:
                        state.settled_from = None
                    elif running == 1.0 and state.settled_from is None:
                        state.settled_from = at + SETTLE_MS
                else:
                    self._reading(item, running, defrost, leaves, changes)
            elif kind is Tick:
                self._tick(item, changes)
                tick = self.shared.tick
            elif kind is Status:
                if item.name == "online":
                    self._online(item, changes)
            elif kind is DeviceAlert:
                changes.append(_noted(item))
            elif kind is Start:
                self._limit(item.offline_ticks)
            elif kind is MetadataChanged:
                self.state_of(item.device_id).metadata = item.history
            elif kind is Forgotten:
                self.forget(item.device_id)
            elif kind is Command:
                self._acknowledge(item, changes, out["rows"])
                continue
            passed.append(item)

    def sizes(self) -> dict[str, int]:
        """Count devices and open alerts."""
        return {**super().sizes(), "open": sum(len(state.open) for state in list(self.devices.values()))}

    # ---- readings

    def _looked_at(self, readings: list[Reading]) -> Iterable[tuple[float, float, bool]]:
        """Say of each whether it runs and whether it defrosts (1.0, 0.0, NaN), and whether it leaves a band."""
        cells = matrix_of([reading.cells for reading in readings])
        running, defrost = cells[:, COLUMN["compressor_running"]], cells[:, COLUMN["defrost_active"]]
        return zip(running.tolist(), defrost.tolist(), noteworthy(cells, self._bands).tolist(), strict=True)

    def _reading(
        self, reading: Reading, running: float, defrost: float, leaves: bool, changes: list[Transition]
    ) -> None:
        state, at = self.state_of(reading.device_id), reading.at
        if not reading.retained:  # else it came from the broker's memory: no sign of life
            first, state.heard = state.heard < 0, self.shared.tick
            if first or OFFLINE in state.open:
                self._is_back(state, reading, first, changes)
        if at <= state.at:
            return
        state.at = at
        self._settle(state, reading, running, defrost, changes)
        limits = metadata_at(state.metadata, at).limits if state.metadata else {}
        if state.open or limits or leaves:
            self._judge(state, reading, limits, changes)
        levels = reading.levels
        if state.open or (levels and levels is not ALL_WELL and any(levels.values())):
            self._judge_levels(state, reading, changes)

    def _judge(
        self, state: AlertMemory, reading: Reading, limits: dict[str, Bounds], changes: list[Transition]
    ) -> None:
        """Hold a reading against every rule."""
        settled = state.settled_from is not None and reading.at >= state.settled_from
        values = reading.values
        for rule in self._rules:
            value = values.get(rule.quantity)
            if value is None or (rule.running_only and not settled):
                continue
            rule = rule.overridden(limits.get(rule.alert_type))
            alert = state.open.get(rule.alert_type)
            level = rule.level(value, alert.level if alert else None)
            if level is not None or alert is not None:
                cause = Cause(reading.order, reading.at, reading.arrived, float(value))
                message = _sentence(rule, level, value)
                self._become(state, reading.device_id, rule.alert_type, level, message, cause, changes)

    def _judge_levels(self, state: AlertMemory, reading: Reading, changes: list[Transition]) -> None:
        """Take over the levels that the device reports itself."""
        cause = Cause(reading.order, reading.at, reading.arrived)
        for name, code in reading.levels.items():
            level = _LEVELS.get(code)
            message = f"the device reports {name} as {level or 'well'}"
            self._become(state, reading.device_id, f"device_{name}", level, message, cause, changes)

    def _settle(
        self, state: AlertMemory, reading: Reading, running: float, defrost: float, changes: list[Transition]
    ) -> None:
        """Follow compressor and defrost; pressures mean nothing while it stands still or defrosts."""
        if running == 0.0 or defrost == 1.0:
            state.settled_from = None
            for rule in self._rules if state.open else ():
                if rule.running_only and rule.alert_type in state.open:
                    cause = Cause(reading.order, reading.at, reading.arrived)
                    self._clear(state, reading.device_id, rule.alert_type, cause, changes)
        elif running == 1.0 and state.settled_from is None:
            state.settled_from = reading.at + SETTLE_MS

    # ---- no reading for too long

    def _is_back(self, state: AlertMemory, reading: Reading, first: bool, changes: list[Transition]) -> None:
        if first:
            self._watch(reading.device_id, state)
        if OFFLINE in state.open:
            cause = Cause(reading.order, reading.arrived, reading.arrived)
            self._clear(state, reading.device_id, OFFLINE, cause, changes)

    def _tick(self, tick: Tick, changes: list[Transition]) -> None:
        shared = self.shared
        shared.tick = tick.n
        for n in sorted(n for n in self._due if n <= tick.n):
            for device_id in self._due.pop(n):
                state = self.devices.get(device_id)
                if state is None or state.heard < 0 or OFFLINE in state.open:
                    continue
                if state.heard + shared.offline_ticks > tick.n:
                    self._watch(device_id, state)
                else:
                    cause = Cause(tick.seq * ORDER_STEP, tick.arrived, tick.arrived)
                    self._offline(device_id, "no reading for too long", cause, changes)

    def _watch(self, device_id: str, state: AlertMemory) -> None:
        """Look at a device again when it may have sent no reading for too long."""
        if state.heard >= 0 and OFFLINE not in state.open:
            due = max(state.heard + self.shared.offline_ticks, self.shared.tick + 1)
            self._due.setdefault(due, []).append(device_id)

    def _limit(self, offline_ticks: int) -> None:
        if offline_ticks == self.shared.offline_ticks:
            return
        self.shared.offline_ticks, self._due = offline_ticks, {}
        for device_id, state in self.devices.items():
            self._watch(device_id, state)

    def _online(self, status: Status, changes: list[Transition]) -> None:
        device_id, cause = status.device_id, Cause(status.order, status.arrived, status.arrived)
        known = self.devices.get(device_id)
        if status.retained and (known is None or known.heard < 0 or known.online is status.value):
            return  # the broker's memory of what is known, or of a device that has not spoken since we watch
        state = self.state_of(device_id)
        state.online = status.value is True
        if status.value is False:
            if OFFLINE not in state.open:
                self._offline(device_id, "it said that it is offline, or its connection was lost", cause, changes)
        elif OFFLINE in state.open and not status.retained:
            if state.heard >= 0:
                state.heard = self.shared.tick
            self._clear(state, device_id, OFFLINE, cause, changes)

    def _offline(self, device_id: str, why: str, cause: Cause, changes: list[Transition]) -> None:
        state = self.state_of(device_id)
        self._become(state, device_id, OFFLINE, "critical", f"device offline: {why}", cause, changes)

    # ---- transitions

    def _become(
        self,
        state: AlertMemory,
        device_id: str,
        alert_type: str,
        level: Level | None,
        message: str,
        cause: Cause,
        changes: list[Transition],
    ) -> None:
        """Bring one alert to a level, by at most one transition."""
        alert = state.open.get(alert_type)
        if level is None:
            if alert is not None:
                self._clear(state, device_id, alert_type, cause, changes)
        elif alert is None:
            alert = OpenAlert(f"{device_id}/{alert_type}/{cause.order}", level, cause.at, message)
            state.open[alert_type] = alert
            changes.append(_transition(alert, device_id, alert_type, "raised", cause))
        elif alert.level != level:
            word: AlertState = "escalated" if _RANK[level] > _RANK[alert.level] else "eased"
            alert.level, alert.message = level, message
            changes.append(_transition(alert, device_id, alert_type, word, cause))

    def _clear(
        self, state: AlertMemory, device_id: str, alert_type: str, cause: Cause, changes: list[Transition]
    ) -> None:
        alert = state.open.pop(alert_type)
        changes.append(_transition(alert, device_id, alert_type, "cleared", cause))
        if alert_type == OFFLINE:
            self._watch(device_id, state)

    def _acknowledge(self, command: Command, changes: list[Transition], rows: list[Any]) -> None:
        alert_id = str(command.body.get("alert_id", ""))
        device_id, _, rest = alert_id.partition("/")
        alert_type = rest.rpartition("/")[0]
        alert = self.devices[device_id].open.get(alert_type) if device_id in self.devices else None
        if alert is None or alert.id != alert_id:
            rows.append(refused(command, f"alert {alert_id!r:.200} is not open"))
        elif alert.acknowledged_by:
            rows.append(refused(command, f"alert {alert_id} was acknowledged by {alert.acknowledged_by}"))
        else:
            self.state_of(device_id).open[alert_type].acknowledged_by = command.by
            cause = Cause(command.seq * ORDER_STEP, command.at, command.at)
            changes.append(_transition(alert, device_id, alert_type, "acknowledged", cause, command.by))
            rows.append(done(command, f"alert {alert_id} acknowledged"))


def _transition(
    alert: OpenAlert, device_id: str, alert_type: str, state: AlertState, cause: Cause, by: str = ""
) -> Transition:
    return Transition(
        alert.id,
        cause.order,
        device_id,
        alert_type,
        cause.at,
        cause.arrived,
        alert.level,
        state,
        cause.value,
        alert.message,
        alert.since,
        by,
    )


def _noted(item: DeviceAlert) -> Transition:
    alert_type = f"device_{item.alert_type}"
    event = OpenAlert(f"{item.device_id}/{alert_type}/{item.order}", item.level, item.at, item.message)
    cause = Cause(item.order, item.at, item.arrived, item.value)
    return _transition(event, item.device_id, alert_type, "noted", cause)


def _sentence(rule: Rule, level: Level | None, value: float) -> str:
    quantity = BY_NAME[rule.quantity]
    threshold = rule.critical if level == "critical" else rule.warning
    side = "at or above" if rule.direction == "high" else "at or below"
    return f"{quantity.label} {value:g} {quantity.unit}, {side} {threshold} {quantity.unit}".replace(" ,", ",")


NODE = Node("alert", Params, Alerts, out=("items", "transitions", "rows"), version=1)
