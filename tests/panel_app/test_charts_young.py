"""A device whose first reading lies in the span: what was before it is neither known nor missing."""

from typing import Any

from panel_app.charts import lanes, marks, text
from panel_app.charts.frame import Frame, read_frame
from panel_app.charts.panes import LANES, PANES
from panel_app.charts.stack import ChartStack
from tests.panel_app import sample_day as sample

COMPRESSOR = LANES[0]
NAMES = [trace.name for pane in PANES for trace in pane.traces]
FLAGS = [lane.flag for lane in LANES]


def young(first: int = 1320) -> dict[str, Any]:
    """The day of a device whose first reading is late in it, by minutes."""
    gap = [sample.iso(sample.START), sample.iso(sample.START + first * sample.MINUTE)]
    return sample.series(minutes=range(first, 1440)) | {"start": sample.iso(sample.START), "gaps": [gap]}


def test_the_last_24_hours_of_a_young_device_begin_at_its_first_reading() -> None:
    stack = ChartStack("light")

    def show(minute: int, start: float = sample.START, now: float = sample.END) -> tuple[float, float]:
        first = sample.START + minute * sample.MINUTE
        stack.update(young(minute), start=start, end=sample.END, now=now, first=first)
        return stack.span

    assert show(1320) == (sample.START + 1320 * sample.MINUTE, sample.END)
    assert stack._face.content["footer"][2] == "2\u00a0h since the first reading, site time"
    assert show(1438) == (sample.END - 15 * sample.MINUTE, sample.END)
    # A span that it fills by more than half, was chosen by its ends, or does not end now, is shown whole.
    assert show(600) == (sample.START, sample.END)
    assert show(1320, start=sample.START - 1000) == (sample.START - 1000, sample.END)
    assert show(1320, now=sample.END + 3_600_000) == (sample.START, sample.END)


def test_a_device_that_was_long_silent_is_shown_with_its_silence() -> None:
    stack = ChartStack("light")
    stack.update(young(), start=sample.START, end=sample.END, now=sample.END)
    assert stack.span == (sample.START, sample.END)
    assert [label[2] for label in stack._face.content["missing"]] == ["no data 22\u00a0h"]


def read_young() -> Frame:
    """The same, read: of its two hours one tenth is not covered."""
    first = sample.START + 1320 * sample.MINUTE
    answer = young() | {"coverage": {"power": 0.9 * 120 / 1440}}
    return read_frame(answer, NAMES, FLAGS, sample.END, first)


def test_before_the_first_reading_nothing_is_missing() -> None:
    read = read_young()
    assert read.missing == []
    said = " · ".join(text.footer(read, PANES)[2:]).replace("\u00a0", " ")
    assert said == "2 h since the first reading, site time · 8\u2009208 readings · coverage 90.0 %"
    assert [label.text for label in marks.missing_labels(read)] == ["before the first reading"]
    assert read.unknown == [(sample.START, read.start)]


def test_a_span_that_ends_before_the_first_reading_is_missing_whole() -> None:
    read = read_frame(sample.empty(), NAMES, FLAGS, sample.END, sample.END + sample.MINUTE)
    assert [label.text for label in marks.missing_labels(read)] == ["no data 24\u00a0h"]


def test_a_share_of_time_on_is_of_the_time_since_the_first_reading() -> None:
    read = read_young()
    assert lanes.said_of(COMPRESSOR, read, [lanes.Bar(read.start, read.end)]).endswith("100 % on")
