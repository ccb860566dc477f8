"""The last hour: what each ten seconds brought, what a minute added to the sums, how fast the journal grew."""

import pytest

from flows.telemetry.past import HOUR_STEPS, Past

LAST = 2 * HOUR_STEPS - 1


class Clock:
    """Goes on when it is told to. [s]"""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def past(clock):
    """Two hours, asked each second, of 7 readings a second, 1 of them dead, and 500 bytes."""
    made = Past(clock)
    for second in range(10 * LAST + 1):
        clock.now = 1000.0 + second
        made.note({"received": 7 * second, "dead": second}, 500 * second)
    return made


def test_an_hour_is_kept_and_no_more(past):
    assert past.received() == [70] * HOUR_STEPS


def test_windows_say_what_was_added_and_in_how_long(past, clock):
    clock.now += 4
    windows = past.windows({"received": 70 * LAST + 28, "dead": 10 * LAST + 4})
    assert windows == {
        "60s": {"seconds": 64, "received": 448, "dead": 64},
        "1h": {"seconds": 3604, "received": 25_228, "dead": 3604},
    }


def test_the_journals_pace_is_that_of_the_minute_and_of_the_hour(past, clock):
    assert (past.written_rate(), past.hourly_rate()) == (500.0, 500.0)
    clock.now += 10
    past.note({"received": 0}, 5_000 * LAST + 65_000)
    assert (past.written_rate(), past.hourly_rate()) == (1500.0, pytest.approx(516.67, abs=0.01))


def test_an_import_is_no_pace_to_go_on_at(past, clock):
    clock.now += 10
    past.note({"received": 0}, 5_000 * LAST + 65_000, imported=60_000)
    assert (past.written_rate(), past.hourly_rate()) == (1500.0, 500.0)


def test_how_the_journal_grows_by_the_hour_is_not_known_before_one_has_passed(clock):
    past = Past(clock)
    for step in range(HOUR_STEPS):
        past.note({"received": 0}, 1_000_000 * (step > 0))
        clock.now += 10
    assert past.hourly_rate() is None
    past.note({"received": 0}, 1_000_000)
    assert past.hourly_rate() == pytest.approx(1_000_000 / 3600)


def test_a_young_process_does_not_say_what_it_cannot_know(clock):
    past = Past(clock)
    assert past.windows({"received": 3}) == {} and past.written_rate() is None
    past.note({"received": 0}, 0)
    clock.now += 5
    past.note({"received": 3}, 100)  # too early to be kept
    assert past.received() == [] and past.written_rate() is None
    clock.now += 5
    past.note({"received": 6}, 200)
    assert (past.received(), past.written_rate(), past.hourly_rate()) == ([6], 20.0, None)
    assert past.windows({"received": 8})["1h"] == {"seconds": 10, "received": 8}
