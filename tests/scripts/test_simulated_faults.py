"""Faults by name: from their onset on each moves the quantities it should, beside the same seed without it."""

from itertools import groupby, pairwise

import pytest
from CoolProp.CoolProp import PropsSI

from tests.scripts.simulated import (
    DAY_MS,
    JANUARY_MS,
    Row,
    device,
    heat_w,
    kwh,
    mean,
    rows,
    runs,
    simulator,
    starts,
)

pytestmark = pytest.mark.slow

NAMES = sorted({**simulator().FAULTS, **simulator().EVENTS})
ONSET_MS = JANUARY_MS + DAY_MS


def pair(
    faults: str, profile: str = "terrace", days: float = 3.0, interval_s: float = 60.0
) -> tuple[list[Row], ...]:
    """What a device measures with faults and without."""
    more = {"counters": True, "flow": True}
    return tuple(rows(device(profile, 1, faults=text, **more), days, interval_s) for text in (faults, ""))


def saturated_c(psi: float, refrigerant: str = "R32") -> float:
    return PropsSI("T", "P", (psi + 14.696) * 6894.757, "Q", 1, refrigerant) - 273.15


def at_same_times(ill: list[Row], well: list[Row]) -> list[tuple[Row, Row]]:
    """Settled rows of both that heat the room at the same times, so under the same weather."""
    known = {row["time"]: row for row in runs(well) if not row["dhw_active"]}
    return [(row, known[row["time"]]) for row in runs(ill) if not row["dhw_active"] and row["time"] in known]


def cop(measured: list[Row]) -> float:
    return kwh(map(heat_w, measured)) / kwh(row["power"] for row in measured)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_differs_before_the_onset_and_something_after_it(name: str) -> None:
    well, ill = device(counters=True), device(counters=True, faults=f"{name}@2026-01-06..2026-01-08")
    before, after = ([], []), ([], [])
    for ms in range(JANUARY_MS, JANUARY_MS + 3 * DAY_MS, 120_000):
        for number, what in enumerate((well, ill)):
            (before if ms < ONSET_MS else after)[number].append(what.reading(ms))
    assert before[0] == before[1]
    assert after[0] != after[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_the_same_for_a_seed_at_any_pace(name: str) -> None:
    first, again, often = (device(counters=True, faults=f"{name}@2026-01-05T06:00") for _ in range(3))
    seldom = rows(first, 0.5, 600.0)
    assert seldom == rows(again, 0.5, 600.0)
    if name != "reboot":  # its power-on values are those of whichever reading comes first
        by_time = {row["time"]: row for row in rows(often, 0.5, 60.0)}
        assert all(by_time[row["time"]] == row for row in seldom)


def test_a_leak_lowers_the_low_pressure_heats_the_discharge_and_costs_efficiency() -> None:
    ill, well = pair("low_charge:0.7@-10d")
    both = at_same_times(ill, well)
    assert len(both) > 300
    assert mean(w["pressure_low"] - i["pressure_low"] for i, w in both) > 8.0

    def superheat(row: Row) -> float:
        return row["temp_compressor"] - saturated_c(row["pressure_high"])

    assert mean(superheat(i) - superheat(w) for i, w in both[::5]) > 5.0
    assert cop(ill) < 0.9 * cop(well)


def test_a_leak_grows_for_a_week() -> None:
    measured = runs(rows(device(faults="low_charge@2026-01-06"), 9))
    superheat = [
        mean(
            row["temp_compressor"] - saturated_c(row["pressure_high"])
            for row in measured[::10]
            if day * DAY_MS <= row["time"] - JANUARY_MS < (day + 1) * DAY_MS
        )
        for day in (0, 3, 6, 8)
    ]
    assert all(after > before + 3.0 for before, after in pairwise(superheat))


def test_short_cycling_starts_six_times_an_hour_at_most_15_minutes_apart() -> None:
    ill, well = pair("short_cycling:0.5", interval_s=20.0)
    ups = [
        now["time"] for before, now in pairwise(ill) if now["compressor_running"] > before["compressor_running"]
    ]
    assert max(sum(at <= up < at + 3_600_000 for up in ups) for at in ups) >= 6
    periods = sorted(b - a for a, b in pairwise(ups))
    assert periods[len(periods) // 2] <= 900_000
    assert starts(ill) > 8 * starts(well)


def test_a_frozen_evaporator_gets_colder_below_the_air_without_a_defrost_while_the_fan_runs() -> None:
    ill, well = pair("frozen_evaporator", days=4.0)
    assert starts(well, "defrost_active") >= 3 and starts(ill, "defrost_active") == 0

    def approach(row: Row) -> float:
        return row["temp_ambient"] - saturated_c(row["pressure_low"])

    frozen = [row for row in runs(ill) if approach(row) > 15.0]
    assert len(frozen) > 60 and all(row["fan_running"] and row["temp_ambient"] < 6.0 for row in frozen)
    assert max(map(approach, runs(well))) < 13.0
    both = at_same_times(ill, well)
    assert mean(i["power"] for i, _ in both) > 0.95 * mean(w["power"] for _, w in both)


def test_a_dirty_filter_lowers_the_flow_and_spreads_the_temperatures() -> None:
    ill, well = pair("dirty_filter:0.8@-10d")
    both = at_same_times(ill, well)
    assert mean(i["flow_rate"] / w["flow_rate"] for i, w in both) == pytest.approx(1 - 0.6 * 0.8, abs=0.01)

    def spread(row: Row) -> float:
        return row["temp_outlet"] - row["temp_inlet"]

    assert mean(spread(i) for i, _ in both) > 1.5 * mean(spread(w) for _, w in both)
    charging = [mean(r["pressure_high"] for r in runs(part) if r["dhw_active"]) for part in (ill, well)]
    assert charging[0] > charging[1] + 5.0


def test_a_stuck_heater_takes_power_all_the_time_and_relieves_the_compressor() -> None:
    ill, well = pair("heater_stuck")
    assert all(row["backup_active"] and row["backup_power"] > 1500.0 for row in ill)
    assert sum(row["backup_active"] for row in well) < 0.1 * len(well)
    assert kwh(map(heat_w, ill)) < 0.7 * kwh(map(heat_w, well))
    assert all(row["flow_rate"] > 5.0 for row in ill)


def test_a_dropout_is_silence_in_blocks() -> None:
    ill, well = pair("dropout:0.3@2026-01-06")
    share = len([row for row in ill if row["time"] >= ONSET_MS]) / len([r for r in well if r["time"] >= ONSET_MS])
    assert 0.55 < share < 0.85
    assert max(b["time"] - a["time"] for a, b in pairwise(ill)) >= 600_000
    assert rows(device(faults="dropout"), 0.1) == []


def test_a_reboot_leaves_a_gap_power_on_temperatures_and_counters_from_zero() -> None:
    ill, _ = pair("reboot:0.5@2026-01-06", days=1.5, interval_s=10.0)
    gaps = [now for before, now in pairwise(ill) if now["time"] - before["time"] > 10_000]
    assert len(gaps) == 36 - 1  # every 20 minutes of 12 hours
    for row in gaps:
        assert row["temp_outlet"] == row["temp_inlet"] == 85.0 and row["temp_compressor"] != 85.0
        assert row["heat_energy"] == row["electric_energy"] == 0.0


def test_an_uptime_clock_counts_from_boot_and_again_after_a_reboot() -> None:
    what = device(faults="uptime_clock reboot@2026-01-05T06:00")
    said = map(what.reading, range(JANUARY_MS, JANUARY_MS + DAY_MS // 2, 60_000))
    sent = [reading["timestamp"] for reading in said if reading]
    assert max(sent) < 86_400_000
    assert sent[1] - sent[0] == 60_000
    assert sum(b < a for a, b in pairwise(sent)) == 35


def test_a_stuck_sensor_keeps_its_value_while_the_compressor_moves_the_others() -> None:
    ill, well = pair("stuck_sensor@2026-01-06")
    after = [row for row in ill if row["time"] >= ONSET_MS]
    assert len({row["temp_outlet"] for row in after}) == 1
    assert max(r["temp_inlet"] for r in after) - min(r["temp_inlet"] for r in after) > 5.0
    assert after[0]["temp_outlet"] == next(row["temp_outlet"] for row in well if row["time"] == ONSET_MS)


def test_spikes_are_single_absurd_values_in_a_tenth_of_the_readings() -> None:
    ill, well = pair("spikes", days=1.0)
    odd = [[name for name in row if row[name] != sound[name]] for row, sound in zip(ill, well, strict=True)]
    assert all(len(names) <= 1 for names in odd)
    assert 0.07 < sum(map(len, odd)) / len(odd) < 0.13
    values = {row[names[0]] for row, names in zip(ill, odd, strict=True) if names}
    assert {-127.0, 32767.0} < values
    assert max(len(list(group)) for bad, group in groupby(odd, key=bool) if bad) <= 4


def test_a_wrong_clock_is_ahead_by_days() -> None:
    what = device(faults="wrong_clock:0.5@2026-01-06")
    assert what.reading(ONSET_MS - 60_000)["timestamp"] == ONSET_MS - 60_000
    assert what.reading(ONSET_MS)["timestamp"] == ONSET_MS + DAY_MS // 2


def test_a_raised_heating_curve_makes_the_water_warmer_and_the_heat_dearer() -> None:
    ill, well = pair("curve_raised:6@2026-01-06", "villa", days=6.0)
    raised = [(i, w) for i, w in zip(ill, well, strict=True) if i["time"] >= ONSET_MS + 3_600_000]
    assert mean(i["setpoint_flow"] - w["setpoint_flow"] for i, w in raised) == pytest.approx(6.0, abs=0.1)
    both = at_same_times(*map(list, zip(*raised, strict=True)))
    assert mean(i["temp_outlet"] - w["temp_outlet"] for i, w in both) > 2.0
    assert cop([i for i, _ in raised]) < 0.97 * cop([w for _, w in raised])


def test_a_raised_room_set_point_warms_the_room() -> None:
    ill, well = pair("indoor_raised:1.5@2026-01-06")
    assert mean(row["temp_indoor"] for row in ill[-1440:]) > mean(row["temp_indoor"] for row in well[-1440:]) + 0.8
    assert ill[-1]["setpoint_indoor"] == well[-1]["setpoint_indoor"] + 1.5
