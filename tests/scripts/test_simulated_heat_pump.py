"""The simulated heat pump: heat goes where it should, electricity is a real machine's, a calm day is calm."""

import json
from collections import Counter

import pytest
from CoolProp.CoolProp import PropsSI

from flows.model.frame import Frame, FrameKind
from flows.nodes.decode import parse_reading
from flows.nodes.payload import decode_payload
from flows.nodes.validate import Params, all_spans, check
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

PROFILES = ("cottage", "terrace", "villa")


@pytest.fixture(scope="module")
def month() -> dict[str, tuple[object, list[Row]]]:
    """By profile: the device and its 30 winter days, a reading a minute, all with a flow meter and counters."""
    made = {name: device(name, flow=True, counters=True) for name in PROFILES}
    return {name: (what, rows(what, 30)) for name, what in made.items()}


@pytest.mark.parametrize("profile", PROFILES)
def test_heat_of_30_winter_days_is_loss_plus_what_is_stored(month, profile: str) -> None:
    what, measured = month[profile]
    place = what.profile
    loss = kwh(place.loss_w_k * (row["temp_indoor"] - row["temp_ambient"]) - place.gains_w for row in measured)
    stored = place.house_j_k * (measured[-1]["temp_indoor"] - measured[0]["temp_indoor"]) / 3.6e6
    heat = kwh(map(heat_w, measured))
    if place.tank_l:
        tank = kwh(1.8 * (row["temp_dhw"] - 17.0) for row in measured) + what.pump.tank.drawn_j / 3.6e6
        loss += tank - kwh(row["backup_power"] for row in measured)
    assert heat == pytest.approx(loss + stored, rel=0.02)
    assert heat > 800.0


@pytest.mark.parametrize("profile", PROFILES)
def test_no_joule_is_made_or_lost(month, profile: str) -> None:
    what, _ = month[profile]
    pump, house, tank = what.pump, what.pump.house, what.pump.tank
    before = simulator().HeatPump(what.profile, 1, JANUARY_MS).stored_j()
    given = pump.heat_j + pump.backup_j + house.gained_j
    taken = house.lost_j + tank.drawn_j + tank.lost_j
    assert given - taken == pytest.approx(pump.stored_j() - before, rel=1e-9, abs=1.0)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_published_readings_say_what_the_machine_did(month, profile: str) -> None:
    what, measured = month[profile]
    assert kwh(map(heat_w, measured)) == pytest.approx(what.pump.heat_j / 3.6e6, rel=0.01)
    assert kwh(row["power"] for row in measured) == pytest.approx(what.pump.electric_j / 3.6e6, rel=0.01)
    first, last = measured[0], measured[-1]
    assert last["electric_energy"] - first["electric_energy"] == pytest.approx(
        kwh(row["power"] for row in measured), rel=0.01
    )
    assert last["heat_energy"] - first["heat_energy"] == pytest.approx(
        kwh(max(heat_w(row), 0.0) for row in measured), rel=0.01
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_its_cop_is_that_of_the_public_fleet_at_the_same_lift(month, profile: str) -> None:
    """HeatpumpMonitor.org, 261 air-source systems: 6.88 - 0.105 (outlet - outdoor), 90 % within 0.53."""
    _, measured = month[profile]
    giving = [row for row in measured if heat_w(row) > 0.0]
    lift = sum(heat_w(row) * (row["temp_outlet"] - row["temp_ambient"]) for row in giving) / sum(
        map(heat_w, giving)
    )
    cop = kwh(map(heat_w, measured)) / kwh(row["power"] for row in measured)
    assert 25.0 < lift < 40.0
    assert abs(cop - (6.88 - 0.105 * lift)) < 0.53


@pytest.mark.parametrize("profile", PROFILES)
def test_a_winter_day_has_a_few_starts_and_defrosts_in_humid_cold_that_take_heat(month, profile: str) -> None:
    _, measured = month[profile]
    assert 2.0 <= starts(measured) / 30 <= 10.0
    assert starts(measured, "defrost_active") >= 5
    defrosts = [row for row in measured if row["defrost_active"]]
    assert max(row["temp_ambient"] for row in defrosts) < 6.5
    assert kwh(map(heat_w, defrosts)) < -0.5
    assert all(row["compressor_running"] and not row["fan_running"] for row in defrosts)
    assert 3.0 <= len(defrosts) / starts(measured, "defrost_active") <= 9.0  # minutes


@pytest.mark.parametrize("profile", PROFILES)
def test_a_healthy_month_raises_no_alert(month, profile: str) -> None:
    _, measured = month[profile]
    assert not any(level for row in measured for level in simulator().alert_levels(row).values())
    assert max(row["current"] for row in measured) < 12.0
    assert 215.0 < min(row["voltage"] for row in measured) < max(row["voltage"] for row in measured) < 245.0


def test_every_field_is_one_of_the_contract_and_within_its_span(month) -> None:
    spans, removed = all_spans(Params()), Counter()
    for what, measured in month.values():
        for row in measured[::97]:
            message = what.payload(row["time"], row)
            assert set(message["alerts"]) == {
                "voltage",
                "compressor_temp",
                "pressure_high",
                "pressure_low",
                "current",
            }
            assert all(message["valid"].values()) and len(message["valid"]) == 8
            frame = Frame(1, FrameKind.MESSAGE, row["time"])
            raw = json.dumps(message).encode()
            parsed = parse_reading(raw, "site1", 1, frame, decode_payload(raw), removed)
            kept = check(parsed, spans, removed).values
            assert kept == {name: value for name, value in row.items() if name != "time"}
    assert not removed


def test_what_a_device_lacks_is_not_in_its_messages() -> None:
    cottage = device("cottage").reading(JANUARY_MS)
    assert "flow" not in cottage["hydraulic"] and "dhw" not in cottage["temperature"] and "energy" not in cottage
    assert "flow" not in device("villa", flow=False).reading(JANUARY_MS)["hydraulic"]
    assert device("terrace", counters=True).reading(JANUARY_MS)["energy"] == {"heat": 0.0, "electric": 0.0}


def test_the_tank_is_drawn_from_by_day_and_charged_to_its_set_point(month) -> None:
    for profile in ("terrace", "villa"):
        _, measured = month[profile]
        assert 1.0 <= starts(measured, "dhw_active") / 30 <= 4.0
        assert min(row["temp_dhw"] for row in measured) > 30.0
        charged = [row for row in measured if row["dhw_active"] and row["compressor_running"]]
        assert max(row["temp_dhw"] for row in charged) == pytest.approx(charged[0]["setpoint_dhw"], abs=1.5)
        boosted = [row for row in measured if row["backup_active"] and row["dhw_active"]]
        assert boosted and not any(row["compressor_running"] for row in boosted)
        assert max(row["temp_dhw"] for row in boosted) == pytest.approx(55.0, abs=1.0)


def test_colder_weather_asks_for_warmer_water(month) -> None:
    _, measured = month["terrace"]
    heating = [row for row in runs(measured) if not row["dhw_active"]]
    cold = [row for row in heating if row["temp_ambient"] < 4.0]
    mild = [row for row in heating if row["temp_ambient"] > 7.0]
    for field in ("setpoint_flow", "temp_outlet"):
        assert mean(row[field] for row in cold) > mean(row[field] for row in mild) + 1.0


@pytest.mark.parametrize("name", ["R32", "R410A", "R290"])
def test_its_pressures_are_the_refrigerant_s(name: str) -> None:
    refrigerant = simulator().REFRIGERANTS[name]
    for celsius in range(-35, 66, 5):
        psia = PropsSI("P", "T", celsius + 273.15, "Q", 1, name) / 6894.757
        assert refrigerant.gauge_psi(celsius) + 14.696 == pytest.approx(psia, rel=0.0025)


@pytest.mark.parametrize("profile", PROFILES)
def test_pressures_and_discharge_follow_the_temperatures_around_them(month, profile: str) -> None:
    what, measured = month[profile]

    def saturated(psi: float) -> float:
        return PropsSI("T", "P", (psi + 14.696) * 6894.757, "Q", 1, what.profile.refrigerant) - 273.15

    for row in runs(measured)[::50]:
        condensing, evaporating = saturated(row["pressure_high"]), saturated(row["pressure_low"])
        assert -1.5 < condensing - row["temp_outlet"] < 4.0
        assert 1.5 < row["temp_ambient"] - evaporating < 13.0
        assert condensing < row["temp_compressor"] < 85.0
    rest = [
        row
        for row in measured
        if not row["compressor_running"] and row["temp_compressor"] < row["temp_ambient"] + 2
    ]
    assert rest and all(abs(row["pressure_high"] - row["pressure_low"]) < 5.0 for row in rest)


def test_power_is_voltage_times_current_times_power_factor(month) -> None:
    for _, measured in month.values():
        for row in measured[::97]:
            assert row["power"] == pytest.approx(row["voltage"] * row["current"] * 0.95, abs=0.06)


def test_the_weather_has_seasons_and_hours_and_is_the_same_for_a_seed() -> None:
    script = simulator()
    for climate in (script.COAST, script.INLAND):
        weather = script.Weather(climate, 3)
        year = [weather.at(JANUARY_MS + hour * 3_600_000) for hour in range(24 * 365)]
        celsius = [temperature for temperature, _ in year]
        assert mean(celsius[: 24 * 60]) < mean(celsius[24 * 150 : 24 * 240]) - 8.0
        assert mean(celsius[14::24]) > mean(celsius[4::24]) + 1.0
        assert all(0.3 < humidity < 1.0 for _, humidity in year)
        assert script.Weather(climate, 3).at(JANUARY_MS + 3_600_000) == year[1]
        assert script.Weather(climate, 4).at(JANUARY_MS) != year[0]


def test_a_year_long_the_house_is_warm_and_summers_need_no_heat() -> None:
    year = rows(device("terrace"), 365, 900.0)
    winter, summer = year[: 96 * 50], year[96 * 180 : 96 * 230]
    assert all(17.0 < row["temp_indoor"] < 28.0 for row in year)
    assert sum(map(heat_w, summer)) < 0.25 * sum(map(heat_w, winter))


def test_the_same_arguments_give_the_same_readings_and_another_seed_others() -> None:
    first, again, other = (rows(device(seed=seed), 2, 300.0) for seed in (5, 5, 6))
    assert first == again != other


def test_how_often_and_when_it_is_asked_changes_nothing() -> None:
    often, seldom = device("villa", counters=True), device("villa", counters=True)
    by_time = {row["time"]: row for row in rows(often, 3, 7.0)}
    for row in rows(seldom, 3, 7.0 * 43):
        assert by_time[row["time"]] == row
    jumped = device("villa", counters=True)
    last = max(by_time)
    assert {**jumped.sample(last), "time": last} == by_time[last]


def test_two_spans_of_one_device_are_one_history() -> None:
    whole, halves = rows(device(), 2, 60.0), device()
    assert rows(halves, 1, 60.0) + rows(halves, 1, 60.0, JANUARY_MS + DAY_MS) == whole


@pytest.mark.parametrize("profile", PROFILES)
def test_whoever_starts_it_in_the_cold_sees_it_heat_within_a_minute(profile: str) -> None:
    assert all(device(profile, seed).sample(JANUARY_MS + 60_000)["compressor_running"] for seed in range(5))
