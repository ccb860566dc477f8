"""Numbers, spans and times as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel_app import words
from tests.panel_app.answers import NOW

NBSP, THIN, MINUS = "\u00a0", "\u2009", "\u2212"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (14218.0, 0, f"14{THIN}218"),
        (-3.25, 1, f"{MINUS}3.2"),
        (-0.04, 1, "0.0"),
        (None, 1, "–"),
        (float("nan"), 1, "–"),
        (float("inf"), 0, "–"),
    ],
)
def test_a_number_has_thin_spaces_and_a_true_minus_and_zero_has_no_sign(value, decimals, text):
    assert words.number(value, decimals) == text


@pytest.mark.parametrize(("value", "text"), [(3.14, "3.14"), (-2.0, f"{MINUS}2"), (1e-7, f"1e{MINUS}07")])
def test_a_number_without_a_known_quantity_is_written_as_it_was_sent(value, text):
    assert words.plain(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.2, "±0"), (-0.2, "±0"), (9.0, "+9"), (-9.0, f"{MINUS}9")])
def test_a_difference_says_its_direction_or_that_there_is_none(value, text):
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("temp_outlet", 32.84, f"32.8{NBSP}°C"),
        ("power", 1320.6, f"1{THIN}321{NBSP}W"),
        ("pressure_high", 303.2, f"303{NBSP}PSI"),
        ("phase1_pf", 0.954, "0.95"),
        ("heat_energy", 999.94, f"999.9{NBSP}kWh"),
        ("heat_energy", 14218.4, f"14{THIN}218{NBSP}kWh"),
    ],
)
def test_a_value_has_the_decimals_of_its_unit_and_never_parts_from_it(field, value, text):
    assert words.said(field, value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5_000, "0 s"),
        (4_900, "4 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (5 * 3_600_000, "5 h"),
        (3 * 86_400_000, "3 d"),
    ],
)
def test_an_age_has_one_unit_and_a_clock_ahead_is_no_negative_age(ms, text):
    assert words.age(ms) == text.replace(" ", NBSP)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(45_000, "45 s"), (17 * 60_000, "17 min"), (125 * 60_000, "2 h 5 min"), (76 * 3_600_000, "3 d 4 h")],
)
def test_a_length_has_at_most_two_units(ms, text):
    assert words.lasting(ms).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.96, "96.0 %"), (0.0, "0.0 %")]
)
def test_a_hundred_percent_is_said_only_where_nothing_is_missing(share, text):
    assert words.percent(share) == text.replace(" ", NBSP)


def test_an_instant_is_as_short_as_today_allows():
    berlin = words.zone_of("Europe/Berlin")
    assert words.when(NOW - 13 * 60_000, NOW, berlin) == "13:55"
    assert words.when(NOW - 86_400_000, NOW, berlin, seconds=True) == "Mon 9 Feb 14:08:07"
    assert words.when(NOW - 400 * 86_400_000, NOW, berlin) == "6 Jan 2025 14:08"


def test_a_zone_that_does_not_exist_is_utc():
    assert [words.zone_of(name).key for name in ("No/Where", "../../etc/passwd", None, "")] == ["UTC"] * 4


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.integers(0, 2))
def test_parts_add_up_to_their_rounded_sum_and_none_moves_by_a_whole_step(parts, decimals):
    rounded = words.adding(parts, decimals)
    step = 10.0**-decimals
    assert round(sum(rounded), decimals) == pytest.approx(sum(parts), abs=step * 0.5001)
    assert all(abs(was - now) < step * 1.0001 for was, now in zip(parts, rounded, strict=True))


def test_the_part_that_loses_least_gives_way():
    assert words.adding([1.26, 1.26, 1.26], 1) == [1.3, 1.3, 1.2]
    assert words.adding([46.72, 3.09, -1.31], 1) == [46.7, 3.1, -1.3]


def test_what_others_wrote_is_cut():
    assert words.shortened("x" * 200, 10) == "x" * 10 + "…"
    assert words.shortened("short") == "short"
