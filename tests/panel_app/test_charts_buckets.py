"""Buckets of which only a part was seen: what they add up to."""

import math
from typing import Any

import pytest

from flows.model.quantities import MODES
from flows.model.times import DAY_MS
from panel_app.charts import buckets, lanes, ratio
from panel_app.charts.frame import Frame, read_frame
from panel_app.charts.panes import LANES
from panel_app.components.kpi_requests import Hours
from panel_app.components.kpi_sums import sums_of
from tests.panel_app import sample_day as sample

COMPRESSOR, DEFROST, _, BACKUP = LANES
FLAGS = [lane.flag for lane in LANES]


def days(resolution: str = "1d", **columns: Any) -> dict[str, Any]:
    """Whole buckets of a device; amounts that are not given are absent."""
    step = {"1m": 60_000, "1h": 3_600_000, "1d": DAY_MS}[resolution]
    first = next(iter(columns.values()))
    count = len(first["mean"] if isinstance(first, dict) else first)
    absent = {name: [None] * count for name in buckets.FIELDS if not name.endswith("_coverage")}
    return {
        **sample.series(with_hole=False),
        "resolution": resolution,
        "start": sample.iso(sample.START),
        "end": sample.iso(sample.START + count * step),
        "time": [sample.iso(sample.START + n * step) for n in range(count)],
        "gaps": [],
        "values": absent | columns,
    }


def watts(*means: float | None) -> dict[str, list[float | None]]:
    return {part: list(means) for part in ("mean", "min", "max")}


def read(answer: dict[str, Any]) -> Frame:
    return read_frame(buckets.with_running(answer), ["heat_power", "power"], FLAGS)


def cop_of(answer: dict[str, Any]) -> list[float]:
    return ratio.cop(read(answer), "heat_power", "power", buckets.energies(answer))[1].tolist()


PARTLY = days(
    # Heat was known for 16 % of the day, electricity for 39 %: the means, of the time that each is known, say 6.6.
    heat_power=watts(2430.0),
    power=watts(370.0),
    heat_kwh_space=[9.6],
    heat_kwh_defrost=[-0.3],
    heat_kwh_cooling=[-5.0],
    electric_kwh_space=[3.0],
    electric_kwh_defrost=[0.2],
    electric_kwh_standby=[0.3],
    electric_kwh_cooling=[2.0],
)


def test_the_cop_of_a_day_is_its_heat_over_its_electricity_however_little_of_it_is_known() -> None:
    assert cop_of(PARTLY) == [pytest.approx(9.3 / 3.5)]


def test_charts_and_cards_say_the_same_cop() -> None:
    energies = {name: column for name, column in PARTLY["values"].items() if "kwh" in name}
    card = sums_of([PARTLY | {"values": energies}], Hours(round(sample.START), round(sample.START + DAY_MS)))
    assert cop_of(PARTLY) == [pytest.approx(card.cop())]


def test_what_a_machine_used_while_no_heat_was_known_is_in_no_cop() -> None:
    answer = days(
        "1m",
        heat_power=watts(*[4000.0] * 20),
        power=watts(*[1000.0] * 20),
        heat_kwh_space=[None] * 10 + [0.4] * 10,
        electric_kwh_space=[0.1] * 20,
    )
    assert cop_of(answer)[-1] == pytest.approx(4.0)
    assert math.isnan(cop_of(answer)[9])


def test_of_buckets_without_their_energies_no_cop_is_said() -> None:
    answer = days(heat_power=watts(2430.0), power=watts(370.0))
    read_as = read(answer)
    assert ratio.cop(read_as, "heat_power", "power")[1].size == 0


def test_a_lane_of_days_adds_up_only_what_was_seen_of_each() -> None:
    answer = days(defrost_active=[0.02, 0.02], defrost_active_coverage=[0.25, 1.0])
    frame = read(answer)
    bars = lanes.bars_of(DEFROST, frame, [])
    assert lanes.said_of(DEFROST, frame, bars) == "36\u00a0min"


def test_the_share_that_a_compressor_was_on_is_of_what_was_seen() -> None:
    answer = days(compressor_running=[1.0, 0.0], compressor_running_coverage=[0.25, 0.75])
    frame = read(answer)
    bars = lanes.bars_of(COMPRESSOR, frame, [])
    assert lanes.said_of(COMPRESSOR, frame, bars) == "25 % on"


def test_today_counts_what_was_seen_of_it_until_now() -> None:
    answer = days(defrost_active=[0.1], defrost_active_coverage=[0.25])
    frame = read_frame(answer, [], FLAGS, sample.START + DAY_MS / 2)
    assert lanes.said_of(DEFROST, frame, lanes.bars_of(DEFROST, frame, [])) == "36\u00a0min"


def test_a_lane_that_follows_its_flag_adds_up_only_what_was_seen_of_hours() -> None:
    answer = days("1h", backup_active=[1.0, 1.0, 0.0], backup_active_coverage=[0.5, 1.0, 1.0])
    frame = read(answer)
    assert lanes.said_of(BACKUP, frame, lanes.bars_of(BACKUP, frame, [])) == "1 × · 1\u00a0h 30\u00a0min"


def test_a_compressor_whose_state_is_not_sent_runs_in_days_as_its_modes_say() -> None:
    answer = days(seconds_space=[6 * 3600.0], seconds_standby=[6 * 3600.0], seconds_unknown=[12 * 3600.0])
    frame = read(answer)
    (bar,) = lanes.bars_of(COMPRESSOR, frame, [])
    assert (bar.share, bar.seen) == (0.5, 0.5)
    assert lanes.said_of(COMPRESSOR, frame, [bar]) == "50 % on"


def test_nothing_is_said_of_a_compressor_where_neither_state_nor_power_is_known() -> None:
    frame = read(days(seconds_unknown=[DAY_MS / 1000]))
    assert not frame.has("compressor_running")


def test_a_bucket_that_came_between_two_questions_is_left_out() -> None:
    series = days(power=watts(1.0, 2.0))
    more = {"time": [*series["time"][1:], "2026-03-01T00:00:00Z"], "values": {"electric_kwh_dhw": [7.0, 9.0]}}
    del series["values"]["electric_kwh_dhw"]
    assert buckets.joined(series, more)["values"]["electric_kwh_dhw"] == [None, 7.0]


def test_what_is_asked_besides_is_one_question() -> None:
    assert len(buckets.FIELDS) <= 64
    assert {f"heat_kwh_{mode}" for mode in MODES} < set(buckets.FIELDS)
