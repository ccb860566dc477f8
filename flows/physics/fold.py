"""fold: one device's samples, in event order, to minute rows. The only code that makes them.

The stream (nodes/rollup.py) feeds it sample by sample, a correction (sinks/store.py) feeds it raw rows, an
open bucket (queries/) likewise: the same samples give the same row, bit for bit.

Rules (docs/reference/rollups.md tells them for people):
  * between two samples of a device every quantity keeps its last value, at most HOLD_MS after it was sent;
  * an interval counts when its end sample exists; it is cut at minutes and where a hold runs out;
  * energies come from held inputs; a counter, where alive, wins over the integral.
"""

from collections.abc import Iterable
from math import fsum

import msgspec

from flows.model.device import DeviceMetadata, metadata_at
from flows.model.quantities import ENERGY_COLUMNS, FLAGS, HEAT_SOURCES, NUMBERS
from flows.model.reading import Value
from flows.model.rollup import BUCKET_MS, HOLD_MS, Resolution, RollupRow
from flows.physics.energy import WMS_PER_KWH, counter_difference, operating_mode
from flows.physics.heat import heat_capacity, heat_power
from flows.physics.performance import carnot_cop, estimated_heat_power

MINUTE_MS = BUCKET_MS["1m"]
HEATING = ("space", "dhw")
_FLAG_NAMES = frozenset(FLAGS)
_COUNTED, _MEASURED, _ESTIMATED = 0, 1, 2


class Sample(msgspec.Struct, frozen=True):
    """One raw row as fold needs it: event time [ms] and values by quantity."""

    at: int
    values: dict[str, Value]


class Fold(msgspec.Struct):
    """State of the fold of one device.

    held    : newest value of every quantity with its event time, of any age.
    at      : event time of the newest sample, −1 before the first. [ms]
    minute  : start of the open minute. [ms]
    count   : samples in it.
    numbers : by quantity [Σ value·ms, ms, min, max] of the open minute.
    flags   : by quantity [ms on, ms known, starts].
    energy  : by column of ENERGY_COLUMNS, in that column's unit.
    heat    : rank in HEAT_SOURCES of the least certain heat, −1 without.
    """

    held: dict[str, tuple[int, Value]] = {}
    at: int = -1
    minute: int = 0
    count: int = 0
    numbers: dict[str, list[float]] = {}
    flags: dict[str, list[float]] = {}
    energy: dict[str, float] = {}
    heat: int = -1


class Minute(msgspec.Struct, frozen=True):
    """A closed minute: what a RollupRow says, without device and order."""

    start: int
    count: int
    values: dict[str, float]
    heat_source: str


def advance(state: Fold, sample: Sample, metadata: list[DeviceMetadata]) -> list[Minute]:
    """Extend the fold by a sample newer than its last; return the minutes that this closes.

    metadata : the device's history, oldest first.
    Raises ValueError for a sample that is not newer: that one needs a refold.
    """
    if sample.at <= state.at:
        raise ValueError(f"sample at {sample.at} is not newer than {state.at}")
    closed: list[Minute] = []
    if state.at >= 0:
        _count_interval(state, sample, metadata, closed)
    minute = sample.at - sample.at % MINUTE_MS
    if minute != state.minute:
        _close(state, closed)
        state.minute = minute
    state.count += 1
    _take(state, sample)
    state.at = sample.at
    return closed


def hold_late(state: Fold, sample: Sample) -> bool:
    """Let a late sample's values be held where nothing newer is; the minutes it changes need a refold.

    Tells whether what is held may now differ from what the raw rows say: merged into the row of its time, it may
    give derived values that neither had. It cannot where it says all that the device says, and nothing new.
    """
    changed = len(sample.values) < len(state.held)
    for name, value in sample.values.items():
        known = state.held.get(name)
        if known is None or known[0] <= sample.at:
            state.held[name] = (sample.at, value)
            changed = True
    return changed


def fold_range(
    samples: Iterable[Sample], start: int, end: int, metadata: list[DeviceMetadata]
) -> tuple[list[Minute], Fold]:
    """Fold raw rows to the closed minutes of [start, end), and the state left after the last sample.

    samples : event order, from start − HOLD_MS to the first at or after `end` (which closes the last minute).
    """
    state = Fold()
    minutes: list[Minute] = []
    for sample in samples:
        minutes += advance(state, sample, metadata)
    return [minute for minute in minutes if start <= minute.start < end], state


def open_minute(state: Fold) -> Minute | None:
    """Say what the open minute has come to so far, or None where nothing has counted yet."""
    return _minute(state) if state.count or state.numbers or state.flags else None


def _take(state: Fold, sample: Sample) -> None:
    held = state.held
    for name, value in sample.values.items():
        if name in _FLAG_NAMES and value:
            before = held.get(name)
            if before is not None and not before[1] and sample.at - before[0] <= HOLD_MS:
                state.flags.setdefault(name, [0.0, 0.0, 0.0])[2] += 1.0
        held[name] = (sample.at, value)


def _count_interval(state: Fold, sample: Sample, metadata: list[DeviceMetadata], closed: list[Minute]) -> None:
    """Add [state.at, sample.at), as far as anything is held, to the minutes it covers."""
    start, end = state.at, min(sample.at, state.at + HOLD_MS)
    electric = _counter_rate(state, sample, "electric_energy", may_fall=False)
    heat = _counter_rate(state, sample, "heat_energy", may_fall=True)
    cuts = {end}
    cuts.update(range(start - start % MINUTE_MS + MINUTE_MS, end, MINUTE_MS))
    for at, _ in state.held.values():
        if start < at + HOLD_MS < end:
            cuts.add(at + HOLD_MS)
    cuts.update(entry.valid_from for entry in metadata if start < entry.valid_from < end)
    left = start
    for right in sorted(cuts):
        minute = left - left % MINUTE_MS
        if minute != state.minute:
            _close(state, closed)
            state.minute = minute
        _count_segment(state, left, right - left, electric, heat, metadata_at(metadata, left))
        left = right


def _counter_rate(state: Fold, sample: Sample, name: str, may_fall: bool) -> float | None:
    """Energy a counter gives the interval that ends at `sample`. [kWh/ms]; None: integrate instead.

    A counter that is alive but not in the sample gives 0: its next difference covers the interval.
    """
    before = state.held.get(name)
    if before is None or sample.at - before[0] > HOLD_MS:
        return None
    after = sample.values.get(name)
    if after is None:
        return 0.0
    difference = counter_difference(before[1], after, sample.at - before[0], may_fall)
    return None if difference is None else difference / (sample.at - state.at)


def _count_segment(
    state: Fold, at: int, ms: int, electric: float | None, heat: float | None, metadata: DeviceMetadata
) -> None:
    """Add one segment in which nothing changes."""
    oldest = at - HOLD_MS
    live = {name: value for name, (sent, value) in state.held.items() if sent > oldest}
    numbers, flags = state.numbers, state.flags
    for name, value in live.items():
        if name in _FLAG_NAMES:
            flag = flags.get(name)
            if flag is None:
                flag = flags[name] = [0.0, 0.0, 0.0]
            flag[1] += ms
            if value:
                flag[0] += ms
        else:
            number = numbers.get(name)
            if number is None:
                numbers[name] = [value * ms, ms, value, value]
                continue
            number[0] += value * ms
            number[1] += ms
            if value < number[2]:
                number[2] = value
            elif value > number[3]:
                number[3] = value
    _count_energy(state, live, ms, electric, heat, metadata)


def _count_energy(
    state: Fold,
    live: dict[str, Value],
    ms: int,
    electric: float | None,
    heat: float | None,
    metadata: DeviceMetadata,
) -> None:
    get = live.get
    inlet, outlet, ambient, power = get("temp_inlet"), get("temp_outlet"), get("temp_ambient"), get("power")
    delta_t = outlet - inlet if outlet is not None and inlet is not None else None
    mode = operating_mode(
        get("defrost_active"), get("dhw_active"), get("compressor_running"), power, delta_t, ambient
    )
    _add(state, f"seconds_{mode}", ms / 1000.0)
    if electric is not None:
        _add(state, f"electric_kwh_{mode}", electric * ms)
    elif power is not None:
        _add(state, f"electric_kwh_{mode}", power * ms / WMS_PER_KWH)
    if heat is not None:
        kwh, rank = heat * ms, _COUNTED
    else:
        watt, rank = _heat_watt(live, mode, delta_t, metadata)
        if watt is None:
            return
        kwh = watt * ms / WMS_PER_KWH
    state.heat = max(state.heat, rank)
    _add(state, f"heat_kwh_{mode}", kwh)
    if mode not in HEATING or outlet is None:
        return
    _add(state, "heat_kwh_x_outlet", kwh * outlet)
    if ambient is None:
        return
    _add(state, "heat_kwh_x_ambient", kwh * ambient)
    ideal = carnot_cop(outlet, ambient)
    if ideal is not None and kwh > 0.0 and delta_t is not None and delta_t > 1.0:
        _add(state, "carnot_ideal_kwh", kwh / ideal)


def _heat_watt(
    live: dict[str, Value], mode: str, delta_t: float | None, metadata: DeviceMetadata
) -> tuple[float | None, int]:
    """Heat output from held inputs, measured where there is a flow rate, else estimated. [W, rank]"""
    flow_rate = live.get("flow_rate")
    if flow_rate is not None:
        if delta_t is None:
            return None, _MEASURED
        cp = heat_capacity(metadata.glycol_percent)
        return heat_power(flow_rate, live["temp_outlet"], live["temp_inlet"], cp), _MEASURED
    power, outlet, ambient = live.get("power"), live.get("temp_outlet"), live.get("temp_ambient")
    if mode not in (*HEATING, "defrost") or power is None or outlet is None or ambient is None:
        return None, _ESTIMATED
    watt = estimated_heat_power(power, outlet, ambient, live.get("temp_inlet"), metadata.carnot_fraction)
    return watt, _ESTIMATED


def _add(state: Fold, column: str, amount: float) -> None:
    state.energy[column] = state.energy.get(column, 0.0) + amount


def _close(state: Fold, closed: list[Minute]) -> None:
    minute = open_minute(state)
    if minute is not None:
        closed.append(minute)
    state.count, state.heat = 0, -1
    state.numbers, state.flags, state.energy = {}, {}, {}


def _minute(state: Fold) -> Minute:
    values: dict[str, float] = {}
    for name, (total, ms, low, high) in state.numbers.items():
        values[f"{name}_mean"] = total / ms
        values[f"{name}_min"] = float(low)
        values[f"{name}_max"] = float(high)
        values[f"{name}_coverage"] = ms / MINUTE_MS
    for name, (on, known, starts) in state.flags.items():
        if known:
            values[f"{name}_share"] = on / known
            values[f"{name}_coverage"] = known / MINUTE_MS
        if starts:
            values[f"{name}_starts"] = starts
    values.update((column, amount) for column, amount in state.energy.items() if amount)
    return Minute(state.minute, state.count, values, HEAT_SOURCES[state.heat] if state.heat >= 0 else "")


def compose(rows: list[RollupRow], resolution: Resolution, start: int, order: int) -> RollupRow | None:
    """Compose a coarser row of finer ones, of one device and resolution; None of none.

    Means and shares weigh by coverage, energies and starts add up; sums are exact (fsum), so the order of
    `rows` does not matter.
    """
    if not rows:
        return None
    part = BUCKET_MS[rows[0].resolution] / BUCKET_MS[resolution]
    values: dict[str, float] = {}
    for name in NUMBERS:
        held = [row.values for row in rows if f"{name}_coverage" in row.values]
        if held:
            weight = fsum(v[f"{name}_coverage"] for v in held)
            values[f"{name}_mean"] = fsum(v[f"{name}_mean"] * v[f"{name}_coverage"] for v in held) / weight
            values[f"{name}_min"] = min(v[f"{name}_min"] for v in held)
            values[f"{name}_max"] = max(v[f"{name}_max"] for v in held)
            values[f"{name}_coverage"] = weight * part
    for name in FLAGS:
        held = [row.values for row in rows if f"{name}_coverage" in row.values]
        if held:
            weight = fsum(v[f"{name}_coverage"] for v in held)
            values[f"{name}_share"] = fsum(v[f"{name}_share"] * v[f"{name}_coverage"] for v in held) / weight
            values[f"{name}_coverage"] = weight * part
        starts = sum(row.values.get(f"{name}_starts", 0.0) for row in rows)
        if starts:
            values[f"{name}_starts"] = starts
    for column in ENERGY_COLUMNS:
        amounts = [row.values[column] for row in rows if column in row.values]
        if amounts:
            values[column] = fsum(amounts)
    rank = max((HEAT_SOURCES.index(row.heat_source) for row in rows if row.heat_source), default=-1)
    count = sum(row.count for row in rows)
    source = HEAT_SOURCES[rank] if rank >= 0 else ""
    return RollupRow(rows[0].device_id, resolution, start, order, count, values, source)
