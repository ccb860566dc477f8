"""Lanes, alert spans and words."""

from itertools import pairwise
from typing import Any

import msgspec

from panel_app.charts import lanes, marks, text
from panel_app.charts.frame import Frame, read_frame
from panel_app.charts.panes import LANES, PANES
from tests.panel_app import sample_day as sample

COMPRESSOR, DEFROST, DHW, BACKUP = LANES
NAMES = [trace.name for pane in PANES for trace in pane.traces]
FLAGS = [lane.flag for lane in LANES]


def frame(answer: dict[str, Any] | None = None, now: float = sample.END) -> Frame:
    return read_frame(answer or sample.series(), NAMES, FLAGS, now)


def minutes(bar: lanes.Bar | marks.AlertSpan | marks.Tint) -> tuple[int, int]:
    return (round((bar.start - sample.START) / sample.MINUTE), round((bar.end - sample.START) / sample.MINUTE))


def test_bars_are_the_episodes_and_the_run_that_goes_on() -> None:
    bars = lanes.bars_of(COMPRESSOR, frame(), sample.episodes())
    assert minutes(bars[0]) == (0, 58)
    assert minutes(bars[-1]) == (1380, 1438)
    assert all(a.end <= b.start for a, b in pairwise(bars))


def test_a_run_that_goes_on_is_open_until_now() -> None:
    read = frame(sample.series(minutes=range(1380, 1430)), now=sample.START + 1430 * sample.MINUTE)
    assert sample.reading(1429)["compressor_running"]
    (bar,) = [bar for bar in lanes.bars_of(COMPRESSOR, read, []) if bar.is_open]
    assert minutes(bar) == (1380, 1430)


def test_a_run_that_goes_on_through_all_of_a_span_is_no_start() -> None:
    read = frame(sample.series("raw", range(1385, 1430)), now=sample.START + 1430 * sample.MINUTE)
    within = msgspec.structs.replace(read, start=read.start - 30_000)  # its first reading comes later
    bars = lanes.bars_of(COMPRESSOR, within, [])
    assert [bar.is_open for bar in bars] == [True]
    assert lanes.said_of(COMPRESSOR, within, bars).startswith("0 starts · ")


def test_a_run_that_goes_on_is_a_start_where_it_was_off_before() -> None:
    assert not sample.reading(1379)["compressor_running"] and sample.reading(1380)["compressor_running"]
    for resolution in ("raw", "1m"):
        read = frame(sample.series(resolution, range(1375, 1430)), now=sample.START + 1430 * sample.MINUTE)
        bars = lanes.bars_of(COMPRESSOR, read, [])
        assert lanes.said_of(COMPRESSOR, read, bars).startswith("1 start · ")


def test_a_machine_that_stopped_has_no_open_run() -> None:
    read = frame(sample.series(minutes=range(1380, 1440)))
    assert not sample.reading(1439)["compressor_running"]
    assert not any(bar.is_open for bar in lanes.bars_of(COMPRESSOR, read, []))


def test_a_run_is_not_open_where_the_last_word_of_it_is_old() -> None:
    read = frame(
        sample.series(minutes=range(1380, 1430)) | {"end": sample.iso(sample.END)}, now=sample.END + 3_600_000
    )
    late = lanes.bars_of(COMPRESSOR, read, [])
    assert sample.reading(1429)["compressor_running"]
    assert all(minutes(bar)[1] <= 1445 for bar in late)


def test_lanes_say_their_sums() -> None:
    read, episodes = frame(), sample.episodes()
    said = {lane.key: lanes.said_of(lane, read, lanes.bars_of(lane, read, episodes)) for lane in LANES}
    assert said["compressor"].startswith("15 starts · ")
    assert said["defrost"].startswith("7 × · ")
    assert said["dhw"].startswith("3 runs · ")
    assert said["backup"] == "not used"


def test_time_that_was_not_seen_counts_neither_as_on_nor_as_off() -> None:
    read = frame()
    whole = [lanes.Bar(read.start, read.missing[0][0]), lanes.Bar(read.missing[0][1], read.end)]
    assert lanes.said_of(COMPRESSOR, read, whole).endswith("100 % on")


def test_a_lane_without_episodes_follows_its_flag() -> None:
    answer = sample.series(with_hole=False)
    answer["values"]["backup_active"][100:130] = [1.0] * 30
    (bar,) = lanes.bars_of(BACKUP, frame(answer), [])
    assert minutes(bar) == (100, 130)
    assert lanes.said_of(BACKUP, frame(answer), [bar]) == "1 × · 30\u00a0min"


def test_of_days_a_lane_shows_what_share_of_each_it_was_on() -> None:
    day = 86_400_000
    answer = {
        **sample.series(with_hole=False),
        "resolution": "1d",
        "start": sample.iso(sample.START),
        "end": sample.iso(sample.START + 2 * day),
        "time": [sample.iso(sample.START), sample.iso(sample.START + day)],
        "gaps": [],
        "values": {"compressor_running": [0.25, 0.75]},
    }
    read = frame(answer, now=sample.START + 2 * day)
    bars = lanes.bars_of(COMPRESSOR, read, [])
    assert [bar.share for bar in bars] == [0.25, 0.75]
    assert lanes.said_of(COMPRESSOR, read, bars) == "50 % on"


def test_an_alert_that_ended_has_its_span_and_length() -> None:
    (span,) = marks.alert_spans([sample.alert("voltage_low", "warning", 213, 230)], frame(), sample.END)
    assert minutes(span) == (213, 230)
    assert span.text == "voltage_low · warning · 17\u00a0min"
    assert not span.is_open


def test_an_open_alert_runs_to_the_right_edge() -> None:
    (span,) = marks.alert_spans([sample.alert("compressor_temp", "critical", 1427, None)], frame(), sample.END)
    assert span.end == sample.END
    assert span.text == "compressor_temp · critical · 13\u00a0min, open"


def test_an_alert_that_began_just_now_is_open_without_seconds() -> None:
    (span,) = marks.alert_spans([sample.alert("current", "warning", 1439, None)], frame(), sample.END - 58_000)
    assert span.text == "current · warning · open"


def test_an_alert_that_is_cleared_is_not_open_even_where_nobody_says_when() -> None:
    cleared = sample.alert("current", "warning", 1420, None) | {"state": "cleared"}
    (span,) = marks.alert_spans([cleared], frame(), sample.END)
    assert not span.is_open
    assert "open" not in span.text


def test_alerts_at_the_same_time_tint_it_once_with_the_worst_level() -> None:
    given = [
        sample.alert("current", "warning", 100, 200),
        sample.alert("voltage_low", "warning", 150, 300),
        sample.alert("compressor_temp", "critical", 180, 190),
        sample.alert("pressure_high", "critical", 250, 400),
        sample.alert("pressure_low", "critical", 400, 420),
        sample.alert("superheat", "warning", 1400, None),
        sample.alert("current", "warning", 1410, None),
    ]
    spans = marks.alert_spans(given, frame(), sample.END)
    found = [(*minutes(tint), tint.level) for tint in marks.tints(spans, sample.END + 60 * sample.MINUTE)]
    assert found == [
        (100, 180, "warning"),
        (180, 190, "critical"),
        (190, 250, "warning"),
        (250, 420, "critical"),
        (1400, 1500, "warning"),
    ]


def test_of_beginnings_close_to_each_other_one_has_a_line_and_that_a_critical_one() -> None:
    given = [sample.alert("current", "warning", minute, minute + 5) for minute in range(0, 60, 2)]
    given.append(sample.alert("compressor_temp", "critical", 31, 40))
    lines = marks.beginnings(marks.alert_spans(given, frame(), sample.END), 10 * sample.MINUTE)
    begun = sorted(minutes(line)[0] for line in lines)
    assert 31 in begun
    assert len(begun) == 6
    assert all(b - a >= 10 for a, b in pairwise(begun))


def test_alerts_of_other_times_are_left_out() -> None:
    others = [sample.alert("current", "warning", -90, -60), sample.alert("current", "warning", 1500, None)]
    assert marks.alert_spans(others, frame(), sample.END) == []


def test_a_change_is_a_seam_with_its_words() -> None:
    change = sample.episode("change", 600, 600, detail="firmware 1.3.0 to 1.4.0")
    (seam,) = marks.seams([change, *sample.episodes()], frame())
    assert seam.text == "firmware 1.3.0 to 1.4.0"


def test_a_hole_is_named_with_its_length() -> None:
    assert [label.text for label in marks.missing_labels(frame())] == ["no data 57\u00a0min"]


def test_the_line_below_says_what_is_shown() -> None:
    said = " · ".join(text.footer(frame(), PANES)).replace("\u00a0", " ")
    assert said == (
        "1-minute means, shaded band min–max · °C and kW · 24 h, site time · 8\u2009208 readings"
        " · coverage 96.0 %, 57 min missing 21:50–22:47"
    )


def test_the_line_below_tells_of_days_no_band() -> None:
    assert text.footer(frame(sample.series() | {"resolution": "1d"}), PANES)[0] == "1-day means"


def test_a_hole_over_midnight_is_told_with_its_days() -> None:

    gap = [[sample.iso(sample.START), sample.iso(sample.END - 5 * sample.MINUTE)]]
    said = text.footer(frame(sample.series(with_hole=False) | {"gaps": gap}), PANES)[-1].replace("\u00a0", " ")
    assert said.endswith("missing Mon 9 Feb 14:23 to Tue 10 Feb 14:03")


def test_the_line_below_an_empty_chart_says_that_nothing_is_there() -> None:
    said = text.footer(frame(sample.empty()), PANES)
    assert said[3] == "0 readings"
    assert said[4].replace("\u00a0", " ").startswith("coverage 0.0 %, 24 h missing Mon 9 Feb 14:08 to Tue 10 Feb")


def test_each_chart_is_told_in_a_sentence() -> None:
    water, outdoor, _ = PANES
    said = text.summary(outdoor, frame())
    assert said == "Outdoor in °C, Mon 9 Feb 14:08 to Tue 10 Feb 14:08: Outdoor −1.5 to 4.5, newest 4.5."
    assert text.summary(water, frame(sample.empty())).endswith(": no data.")


def test_the_table_has_the_newest_rows_and_says_what_is_left_out() -> None:
    made = text.table(frame(), PANES)
    assert made.header[:3] == ["Time", "Flow water, °C", "Return water, °C"]
    assert len(made.rows) == text.MOST_ROWS
    assert made.rows[0][0] == "Tue 10 Feb 14:07"
    assert made.caption == "1-minute means, newest 200 of 1\u2009368 rows; the CSV file has all"
    assert all(len(row) == len(made.header) for row in made.rows)
