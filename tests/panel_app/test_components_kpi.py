"""Today so far beside the same hours of the week before."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from flows.model.times import iso
from panel_app.components.kpi import Card, cards, kpi_cards
from panel_app.components.kpi_requests import Comparison, Hours, comparison, cop_request, kpi_requests, last_day
from panel_app.components.kpi_sums import Sums, cop_of, sums_of
from panel_app.words import instant, zone_of
from tests.panel_app.answers import DAY, HOUR, MINUTE, NOW, a_status

BERLIN = zone_of("Europe/Berlin")
HOURS = comparison(NOW, BERLIN)


def utc(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1_000)  # type: ignore[misc, arg-type]


def sums(**given: Any) -> Sums:
    known: dict[str, Any] = {
        "electric": {"space": 13.31, "dhw": 1.07, "defrost": 0.38, "standby": 0.21},
        "heat": {"space": 46.72, "dhw": 3.09, "defrost": -1.31},
        "heat_source": "measured",
        "starts": 9,
        "defrosts": 5,
        "ambient": 0.3,
        "coverage": 1.0,
        "electric_coverage": 1.0,
    } | given
    return Sums(**({"with_heat": known["electric"]} | known))


THEN = sums(electric={"space": 13.6, "standby": 0.2}, heat={"space": 46.0}, starts=9, ambient=1.2)


def drawn(today: Sums, then: Sums = THEN, cycles: list[Any] | None = None) -> dict[str, Card]:
    return {card.name: card for card in cards(today, then, "H4", cycles or [])}


def parts_of(card: Card) -> list[float]:
    return [float(part.split("\u00a0")[-1].replace("\u2212", "-")) for part in card.below.split("\u00a0· ")]


def test_today_is_compared_with_the_same_hours_seven_days_before():
    assert HOURS == Comparison(
        Hours(utc(2026, 2, 9, 23), utc(2026, 2, 10, 13, 8)),
        Hours(utc(2026, 2, 2, 23), utc(2026, 2, 3, 13, 8)),
        BERLIN,
    )


def test_where_clocks_changed_between_the_hours_of_the_clock_are_the_same():
    hours = comparison(utc(2026, 3, 31, 10), BERLIN)
    assert hours.today == Hours(utc(2026, 3, 30, 22), utc(2026, 3, 31, 10))
    assert hours.then == Hours(utc(2026, 3, 23, 23), utc(2026, 3, 24, 11))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "UTC"])
def test_the_questions_cover_each_span_once_in_buckets_that_fit(zone):
    hours = comparison(NOW, zone_of(zone))
    for which, span in (("today", hours.today), ("then", hours.then)):
        asked = [request.params for request in kpi_requests(hours) if request.key.startswith(which)]
        edges = [(instant(params["start"]), instant(params["end"])) for params in asked]
        assert edges[0][0] == span.start and edges[-1][1] == span.end
        assert all(left[1] == right[0] for left, right in pairwise(edges))
        for params, edge in zip(asked, edges, strict=True):
            step = HOUR if params["resolution"] == "1h" else MINUTE
            assert edge[0] % step == edge[1] % step == 0
            assert (edge[1] - edge[0]) // step < 60


def test_in_the_days_first_minute_nothing_is_asked_and_nothing_claimed():
    hours = comparison(utc(2026, 2, 9, 23), BERLIN)
    assert kpi_requests(hours) == []
    html = kpi_cards(a_status(), hours, {})
    assert html.count("too little data") == 4
    assert html.count("too few readings yet") == 4
    yesterday = kpi_cards(a_status(ago=DAY), hours, {})
    assert "no readings today" in yesterday and "no power readings today" in yesterday
    cold = kpi_cards(a_status({"temp_outlet": 30.0}), hours, {})
    assert "the device does not send its power" in cold


def test_the_cop_is_heat_over_electricity_with_defrosts_and_standby():
    card = drawn(sums())["cop"]
    assert (card.figure, card.then, card.origin, card.boundary) == ("3.24", "3.33", "measured", "H4")
    assert card.difference == "\u22120.09"
    assert card.below == "space with defrost\u00a03.32\u00a0· hot water\u00a02.89"


def test_heat_after_the_compressor_stopped_is_counted_with_space():
    electric = {"space": 10.0, "defrost": 0.5, "dhw": 2.0, "standby": 0.5}
    heat = {"space": 25.0, "defrost": -1.0, "dhw": 6.0, "standby": 9.0}
    card = drawn(sums(electric=electric, heat=heat))["cop"]
    assert card.below == "space with defrost and standby\u00a03.00\u00a0· hot water\u00a03.00"
    assert card.figure == "3.00"


def test_the_backup_heater_is_told_besides_where_the_electricity_leaves_it_out():
    with_backup = sums(backup=49.8)

    def below(boundary: str, today: Sums) -> str:
        card = {card.name: card for card in cards(today, THEN, boundary, [])}["electricity"]
        assert card.figure == "15.0"
        return card.below.replace("\u00a0", " ")

    for boundary in ("", "H1", "H2"):
        assert below(boundary, with_backup).endswith(" · backup heater 49.8 kWh besides")
    for boundary, today in (("H3", with_backup), ("H4", with_backup), ("", sums()), ("", sums(backup=0.0))):
        assert "backup" not in below(boundary, today)


def test_the_backup_heaters_energy_is_its_power_over_the_time_it_is_known():
    hour = an_answer(backup_power_mean=2000.0, backup_power_coverage=0.75)
    minute = an_answer(resolution="1m", backup_power_mean=6000.0, backup_power_coverage=1.0)
    assert sums_of([hour, minute], Hours(0, 61 * MINUTE)).backup == pytest.approx(1.6)
    assert sums_of([an_answer()], Hours(0, HOUR)).backup is None


def test_of_a_recording_its_last_day_is_compared_with_that_of_the_week_before():
    hours = last_day(NOW, BERLIN)
    assert (hours.today, hours.then) == (
        Hours(utc(2026, 2, 9, 13, 8), utc(2026, 2, 10, 13, 8)),
        Hours(utc(2026, 2, 2, 13, 8), utc(2026, 2, 3, 13, 8)),
    )
    html = kpi_cards(a_status(), hours, None)
    assert "Its last day until" in html and "the day until Tue 3 Feb 14:08, a week before" in html


def test_cooling_is_not_in_the_headline():
    card = drawn(sums(electric={"space": 10.0, "cooling": 5.0}, heat={"space": 40.0, "cooling": -20.0}))
    assert card["cop"].figure == "4.00"
    assert card["heat"].figure == "40.0"
    assert "without cooling" in card["cop"].below
    assert card["heat"].below == "space\u00a040.0\u00a0· cooling\u00a0\u221220.0 apart"


@pytest.mark.parametrize("name", ["electricity", "heat"])
def test_parts_add_up_to_the_figure_as_they_are_shown(name):
    awkward = {"space": 10.26, "dhw": 1.26, "defrost": 1.26, "standby": 1.26}
    card = drawn(sums(electric=awkward, heat=awkward))[name]
    assert card.figure == "14.0"
    assert sum(parts_of(card)) == pytest.approx(14.0)


def test_small_energies_have_two_decimals():
    card = drawn(sums(electric={"space": 0.314}))["electricity"]
    assert (card.figure, card.below) == ("0.31", "space\u00a00.31")


def test_a_difference_is_that_of_the_figures_shown():
    card = drawn(sums())["electricity"]
    assert (card.figure, card.then, card.difference) == ("15.0", "13.8", "+9\u00a0%")


def test_what_is_many_times_as_much_has_no_percentage():
    week_before = sums(electric={"standby": 0.04}, heat={"space": 0.04})
    for card in (drawn(sums(), week_before)[name] for name in ("electricity", "heat")):
        assert (card.then, card.difference) == ("0.0", "")
    card = drawn(sums(electric={"space": 4.74}), week_before)["electricity"]
    assert (card.figure, card.then, card.difference) == ("4.74", "0.04", "")
    assert drawn(sums(electric={"space": 0.39}), week_before)["electricity"].difference == "+875\u00a0%"


def test_totals_of_unlike_coverage_are_not_compared():
    card = drawn(sums(), sums(coverage=0.8, electric_coverage=0.8))["electricity"]
    assert (card.then, card.difference) == ("15.0", "")


def test_a_week_without_enough_data_is_not_shown_as_a_figure():
    shown = drawn(sums(), sums(coverage=0.2, electric_coverage=0.2))
    assert [card.then for card in shown.values()] == [""] * 4


def test_too_little_data_says_how_much_there_is():
    shown = drawn(sums(coverage=0.41, electric_coverage=0.41))
    assert {card.state for card in shown.values()} == {"little"}
    assert shown["cop"].below.replace("\u00a0", " ") == "41.0 % of the span covered"


def test_an_estimate_is_shown_as_one_with_one_decimal_and_its_rule():
    estimated = sums(heat_source="estimated")
    card = drawn(estimated, estimated)["cop"]
    assert (card.figure, card.then, card.origin) == ("≈\u00a03.2", "≈\u00a03.2", "estimated")
    assert drawn(estimated)["heat"].difference == ""
    html = kpi_cards(a_status(metadata={"carnot_fraction": 0.45}), HOURS, answered(source="estimated"))
    assert "badge-dashed" in html
    assert "η 0.45" in html


def test_without_heat_the_cop_says_why():
    unknown = sums(heat={}, with_heat={}, heat_source=None)
    assert drawn(unknown)["cop"].below == "heat not known: no flow rate, no counter"
    resting = sums(electric={"standby": 0.2}, heat={}, heat_source=None)
    assert drawn(resting)["cop"].below == "no heat given yet"


@pytest.mark.parametrize("source", ["measured", "counter"])
def test_a_machine_that_only_rested_has_no_cop(source: str):
    rested = sums(electric={"standby": 0.21}, heat={"standby": 0.9}, heat_source=source)
    card = drawn(rested)["cop"]
    assert (card.state, card.figure, card.below) == ("little", "", "no heat given yet")
    card = drawn(sums(), rested)["cop"]
    assert (card.then, card.difference) == ("", "")


def test_heat_known_for_less_than_half_of_the_electricity_gives_no_cop():
    card = drawn(sums(with_heat={"space": 2.0}))["cop"]
    assert card.state == "little"
    assert card.below.startswith("heat known for 13.5")


def test_starts_say_the_median_run_of_those_seen_whole():
    runs = [60, 80, 76]
    cycles = [{"seconds": run * 60.0, "begun_by": "edge", "ended_by": "edge"} for run in runs]
    cut = {"seconds": 5.0, "begun_by": "gap", "ended_by": "edge"}
    card = drawn(sums(), cycles=[*cycles, cut])["starts"]
    assert (card.figure, card.then, card.difference) == ("9", "9", "±0")
    assert card.below.replace("\u00a0", " ") == "median run 1 h 16 min · 5 defrosts"


def test_a_device_that_tells_neither_its_compressor_nor_its_power_has_no_starts():
    said = drawn(sums(starts=None, run_coverage=0.0))["starts"].below
    assert said == "the device sends neither its compressor's state nor its power"
    partly = drawn(sums(starts=None, run_coverage=0.4))["starts"].below.replace("\u00a0", " ")
    assert partly == "running known for 40.0 % of the span"


def test_starts_of_a_device_that_does_not_send_its_compressors_state_are_those_of_its_cycles():
    def cycle(start: int, begun_by: str = "edge") -> dict[str, Any]:
        return {"start": iso(start), "begun_by": begun_by, "ended_by": "edge", "seconds": 600.0}

    hour = an_answer(seconds_space=1_800.0, seconds_standby=1_800.0)
    # One began before the span, one nobody saw begin.
    cycles = [cycle(-MINUTE), cycle(5 * MINUTE), cycle(20 * MINUTE), cycle(40 * MINUTE, "gap")]
    told = sums_of([hour], Hours(0, HOUR), cycles)
    assert (told.starts, told.starts_by_power) == (2, True)
    assert sums_of([hour], Hours(0, HOUR), cycles, runs=True).starts == 3
    assert sums_of([an_answer(seconds_space=3_600.0)], Hours(0, HOUR), runs=True).starts == 0
    assert sums_of([an_answer(seconds_unknown=3_600.0)], Hours(0, HOUR), cycles).starts is None
    sent = an_answer(seconds_space=3_600.0, compressor_running_coverage=1.0, compressor_running_starts=7.0)
    assert (sums_of([sent], Hours(0, HOUR), cycles).starts) == 7
    card = drawn(told, sums(starts=1), cycles)["starts"]
    assert (card.figure, card.then, card.difference) == ("2", "1", "+1")
    assert card.below.replace("\u00a0", " ") == "by its power · median run 10 min"


def bucket(**columns: float | None) -> dict[str, list[float | None]]:
    names = next(request for request in kpi_requests(HOURS)).params["fields"].split(",")
    return {name: [columns.get(name)] for name in names}


def an_answer(source: str | None = "measured", resolution: str = "1h", **columns: float | None) -> dict[str, Any]:
    return {"resolution": resolution, "values": bucket(**columns), "heat_source": source}


def answered(source: str | None = "measured") -> dict[str, Any]:
    """A day of one bucket a question."""
    found: dict[str, Any] = {"cycles": []}
    for request in kpi_requests(HOURS):
        if request.route != "series":
            continue
        seconds = (instant(request.params["end"]) - instant(request.params["start"])) / 1_000
        step = 3_600 if request.params["resolution"] == "1h" else 60
        share = seconds / step
        found[request.key] = an_answer(
            source,
            request.params["resolution"],
            seconds_space=seconds,
            electric_kwh_space=1.0,
            heat_kwh_space=4.0,
            power_coverage=share,
            compressor_running_coverage=share,
            compressor_running_starts=2.0,
            temp_ambient_mean=5.0,
            temp_ambient_coverage=share,
        )
    return found


def test_the_cards_name_the_hours_and_both_coverages():
    html = kpi_cards(a_status(), HOURS, answered()).replace("\u00a0", " ")
    for words in (
        "14:08",
        "Tue 3 Feb until 14:08",
        "mean outdoor 5.0 °C, then 5.0 °C",
        "coverage 100 %, then 100 %",
    ):
        assert words in html


def test_cards_load_while_answers_are_awaited():
    assert kpi_cards(a_status(), HOURS, None).count('aria-busy="true"') == 4


def test_answers_that_failed_are_too_little_data():
    html = kpi_cards(a_status(), HOURS, dict.fromkeys(answered()))
    assert html.count("too little data") == 4


def test_a_simulated_device_has_simulated_figures():
    assert "simulated" in kpi_cards(a_status(attributes={"simulated": "true"}), HOURS, answered())


def test_the_mean_outdoors_weighs_by_the_time_it_is_known():
    hour = an_answer(temp_ambient_mean=10.0, temp_ambient_coverage=1.0)
    minute = an_answer(resolution="1m", temp_ambient_mean=-51.0, temp_ambient_coverage=1.0)
    assert sums_of([hour, minute], Hours(0, 61 * MINUTE)).ambient == pytest.approx(9.0)


def test_of_several_sources_of_heat_the_least_certain_is_named():
    found = [an_answer(source, heat_kwh_space=1.0) for source in ("counter", "estimated", "measured", None)]
    assert sums_of(found, Hours(0, DAY)).heat_source == "estimated"
    assert sums_of(found[:1], Hours(0, DAY)).heat_source == "counter"


def test_the_minute_that_is_still_open_is_not_called_missing():
    answer = an_answer(seconds_standby=3_590.0)
    assert sums_of([answer], Hours(0, HOUR)).coverage == 1.0
    assert sums_of([answer], Hours(0, 2 * HOUR)).coverage < 0.5


def test_the_cop_of_the_last_half_hour_is_not_said_at_rest():
    run = an_answer(resolution="1m", electric_kwh_space=0.5, heat_kwh_space=2.0, power_coverage=30.0)
    cop = cop_of(run, NOW)
    assert cop is not None and (cop.value, cop.origin) == (4.0, "measured")
    rest = an_answer(None, resolution="1m", electric_kwh_standby=0.005, power_coverage=30.0)
    assert cop_of(rest, NOW) is None
    assert cop_request(NOW).params["start"] == iso(HOURS.today.end - 30 * MINUTE)
