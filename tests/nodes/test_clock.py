"""clock: the time rules of docs/reference/mqtt.md, and that no order or restart changes what they give."""

import msgspec
import pytest

from flows.model.cells import cells_of
from flows.model.command import Command
from flows.model.frame import Start, Tick
from flows.model.reading import FIRST_ROW, MAX_READINGS, ORDER_STEP, Reading
from flows.nodes.clock import NODE

from .conftest import NOW

DAY = 86_400_000


def dated(out):
    return [
        (item.values["temp_inlet"], item.at - NOW, item.clock) for item in out.dated if isinstance(item, Reading)
    ]


def test_plausible_unix_time_is_the_event_time(run_node, a_reading):
    out = run_node(NODE, [a_reading(temp_inlet=1.0, timestamp=NOW - 5000)])
    assert dated(out) == [(1.0, -5000, "device")]


def test_five_minutes_ahead_is_plausible_and_a_millisecond_more_is_not(run_node, a_reading):
    items = [
        a_reading(temp_inlet=1.0, timestamp=NOW + 300_000),
        a_reading(temp_inlet=2.0, timestamp=NOW + 300_001),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 300_000, "device"), (2.0, 0, "arrival")]


def test_one_absurd_timestamp_harms_no_later_reading(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=NOW + 400 * DAY),
        a_reading(seq=2, temp_inlet=2.0, arrived=NOW + 10_000, timestamp=NOW + 10_000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "arrival"), (2.0, 10_000, "device")]


def test_no_timestamp_gives_the_arrival_and_two_in_one_millisecond_are_one_apart(run_node, a_reading):
    items = [a_reading(seq=n, temp_inlet=float(n)) for n in (1, 2, 3)]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "arrival"), (2.0, 1, "arrival"), (3.0, 2, "arrival")]


def test_a_timestamp_between_ten_years_and_2020_or_negative_gives_the_arrival(run_node, a_reading):
    for sent in (-1, 0, 946_684_800_000, 1_577_836_799_999):
        assert dated(run_node(NODE, [a_reading(temp_inlet=1.0, timestamp=sent)])) == [(1.0, 0, "arrival")]


def test_readings_of_an_unknown_boot_wait_for_the_tick_and_keep_their_spacing(run_node, a_reading):
    burst = [a_reading(seq=n, temp_inlet=float(n), arrived=NOW + 20 * n, timestamp=n * 10_000) for n in (1, 2, 3)]
    waiting = run_node(NODE, burst)
    assert waiting.dated == [] and waiting.logic.sizes()["pending"] == 3
    out = run_node(NODE, [*burst, Tick(4, 1, NOW + 1000)])
    start = 60 - 30_000  # the smallest arrival − uptime is that of the newest
    assert dated(out) == [(float(n), start + n * 10_000, "boot") for n in (1, 2, 3)]
    assert isinstance(out.dated[-1], Tick)


def test_a_boot_once_dated_is_never_redated_by_small_drift(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=10_000),
        Tick(2, 1, NOW),
        a_reading(seq=3, temp_inlet=2.0, arrived=NOW + 10_500, timestamp=20_000),
        a_reading(seq=4, temp_inlet=3.0, arrived=NOW + 18_001, timestamp=30_000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, 10_000, "boot"), (3.0, 20_000, "boot")]


def test_drift_beyond_two_seconds_moves_later_readings_only(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=10_000),
        Tick(2, 1, NOW),
        a_reading(seq=3, temp_inlet=2.0, arrived=NOW + 5_000, timestamp=20_000),
        a_reading(seq=4, temp_inlet=3.0, arrived=NOW + 15_000, timestamp=30_000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, 5_000, "boot"), (3.0, 15_000, "boot")]


def test_a_clock_that_runs_slow_is_set_by_the_smallest_delay_of_a_whole_hour(run_node, a_reading):
    items = [a_reading(seq=1, temp_inlet=0.0, timestamp=1_000), Tick(2, 1, NOW)]
    for minute in range(1, 126):  # loses 100 ms a minute
        up = 1_000 + minute * 59_900
        items.append(
            a_reading(seq=2 + minute, temp_inlet=float(minute), arrived=NOW + minute * 60_000, timestamp=up)
        )
    late = [at - minute * 60_000 for minute, at, _ in dated(run_node(NODE, items))]
    assert late[119] == -11_900 and late[125] == -6_500


def test_a_smaller_uptime_is_a_reboot_when_the_new_boot_begins_after_the_last_reading(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=500_000),
        Tick(2, 1, NOW),
        a_reading(seq=3, temp_inlet=2.0, arrived=NOW + 60_000, timestamp=5_000),
        Tick(4, 2, NOW + 61_000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, 60_000, "boot")]


def test_a_smaller_uptime_that_reaches_back_is_late_not_a_reboot(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=500_000),
        Tick(2, 1, NOW),
        a_reading(seq=3, temp_inlet=2.0, arrived=NOW + 1_000, timestamp=490_000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, -10_000, "boot")]


def test_a_reboot_while_the_old_boot_waits_dates_both(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=500_000),
        a_reading(seq=2, temp_inlet=2.0, arrived=NOW + 700, timestamp=600),
        Tick(3, 1, NOW + 1000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, 700, "boot")]


def test_another_boot_id_is_a_reboot_however_the_uptimes_lie(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=500_000, boot_id="a"),
        Tick(2, 1, NOW),
        a_reading(seq=3, temp_inlet=2.0, arrived=NOW + 100, timestamp=499_000, boot_id="b"),
        Tick(4, 2, NOW + 1000),
    ]
    assert dated(run_node(NODE, items)) == [(1.0, 0, "boot"), (2.0, 100, "boot")]


def test_a_retained_reading_that_nothing_dates_is_counted_and_dropped(run_node, a_reading):
    items = [
        a_reading(temp_inlet=1.0, retained=True),
        a_reading(temp_inlet=2.0, retained=True, timestamp=5_000),
        a_reading(temp_inlet=3.0, retained=True, timestamp=NOW - 1),
    ]
    out = run_node(NODE, items)
    assert dated(out) == [(3.0, -1, "device")] and out.counts["dropped"] == 2


def test_a_reading_older_than_raw_retention_is_a_dead_letter_and_the_limit_comes_with_the_start(
    run_node, a_reading
):
    old = a_reading(temp_inlet=1.0, timestamp=NOW - 8 * DAY)
    assert dated(run_node(NODE, [old])) == [(1.0, -8 * DAY, "device")]
    out = run_node(NODE, [Start(1, NOW, raw_retention_ms=7 * DAY), old])
    assert [letter.reason for letter in out.dead] == ["older_than_retention"]


def test_a_number_seen_in_the_same_boot_is_a_duplicate_and_in_another_is_not(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, number=7, boot_id="a"),
        a_reading(seq=2, temp_inlet=1.0, number=7, boot_id="a"),
        a_reading(seq=3, temp_inlet=2.0, number=7, boot_id="b"),
    ]
    out = run_node(NODE, items, restart_every=1)
    assert [value for value, _, _ in dated(out)] == [1.0, 2.0]
    assert [reading.order for reading in out.repeated] == [2 * ORDER_STEP]


def test_one_absurd_uptime_harms_no_other_reading_before_or_after_the_boot_is_dated(run_node, a_reading):
    for absurd in (1_795_550_434, 300_000_000_000):
        items = [
            a_reading(seq=1, temp_inlet=1.0, timestamp=10_000),
            a_reading(seq=2, temp_inlet=2.0, arrived=NOW + 100, timestamp=absurd),
            Tick(3, 1, NOW + 500),
            a_reading(seq=4, temp_inlet=3.0, arrived=NOW + 10_000, timestamp=20_000),
            a_reading(seq=5, temp_inlet=4.0, arrived=NOW + 20_000, timestamp=absurd),
            a_reading(seq=6, temp_inlet=5.0, arrived=NOW + 30_000, timestamp=40_000),
        ]
        at = {value: (at, clock) for value, at, clock in dated(run_node(NODE, items, restart_every=1))}
        assert at == {
            1.0: (0, "boot"),
            2.0: (100, "arrival"),
            3.0: (10_000, "boot"),
            4.0: (20_000, "arrival"),
            5.0: (30_000, "boot"),
        }


def test_a_boot_dated_by_a_delayed_reading_is_set_right_by_the_second_live_one(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=10_000),
        Tick(2, 1, NOW),
        *(
            a_reading(seq=3 + n, temp_inlet=2.0 + n, arrived=NOW + n * 10_000, timestamp=3_610_000 + n * 10_000)
            for n in range(1, 4)
        ),
    ]
    assert dated(run_node(NODE, items)) == [
        (1.0, 0, "boot"), (3.0, 10_000, "arrival"), (4.0, 20_000, "boot"), (5.0, 30_000, "boot"),
    ]  # fmt: skip


def test_a_short_counter_that_begins_anew_is_no_duplicate(run_node, a_reading):
    items = [
        a_reading(seq=n, temp_inlet=float(n), number=n % 8, boot_id="a", timestamp=NOW + n, raw=b"%d" % n)
        for n in range(30)
    ]
    assert len(dated(run_node(NODE, items))) == 30


def test_a_dead_letter_of_a_reading_that_waited_is_as_new_as_what_released_it(run_node, a_reading):
    waiting = [a_reading(seq=n, device_id=f"site{n}", temp_inlet=85.0, timestamp=10_000) for n in (1, 2)]
    out = run_node(NODE, [*waiting, Tick(9, 1, NOW)])
    assert [(letter.device_id, letter.reason, letter.order) for letter in out.dead] == [
        ("site1", "empty", 9 * ORDER_STEP),
        ("site2", "empty", 9 * ORDER_STEP + 1),
    ]


def buffered(seq, boot_id=None, device_id="site1"):
    """A full message of readings half an hour apart: all but the newest 1 441 are older than raw retention."""
    return [
        Reading(
            device_id,
            seq * ORDER_STEP + n,
            NOW,
            cells_of({"temp_inlet": 1.0}),
            timestamp=n * 1.8e6 + 1,
            boot_id=boot_id,
        )
        for n in range(MAX_READINGS)
    ]


@pytest.mark.slow
def test_letters_that_a_tick_has_no_ids_for_wait_for_the_next_wherever_the_flow_restarts(run_node):
    waiting = [reading for seq in (1, 2, 3) for reading in buffered(seq, device_id=f"site{seq}")]
    items = [*waiting, Tick(4, 1, NOW), Tick(5, 2, NOW)]
    first = run_node(NODE, items[:-1])
    total = 3 * (MAX_READINGS - 1441)
    assert len(first.dead) == FIRST_ROW and first.logic.sizes()["pending"] == total - FIRST_ROW
    for restart_every in (None, 1000, len(waiting) + 1):
        out = run_node(NODE, items, restart_every)
        ids = [letter.order for letter in out.dead]
        assert ids == [
            *range(4 * ORDER_STEP, 4 * ORDER_STEP + FIRST_ROW),
            *range(5 * ORDER_STEP, 5 * ORDER_STEP + total - FIRST_ROW),
        ]
        assert out.logic.sizes()["pending"] == 0


@pytest.mark.slow
def test_a_device_that_reboots_with_every_message_fills_no_memory_with_letters(run_node):
    messages = [reading for seq in range(1, 25) for reading in buffered(seq, boot_id=f"{seq}")]
    out = run_node(NODE, messages)
    assert 50_000 <= out.logic.sizes()["pending"] < 60_000
    out = run_node(NODE, [*messages, *(Tick(30 + n, n, NOW) for n in range(8))])
    assert out.logic.sizes()["pending"] == 0
    assert len(out.dead) + len(out.dated) - 8 == len(messages)
    assert len({letter.order for letter in out.dead}) == len(out.dead)


def forget(seq, device_id="site1"):
    return Command(seq, f"c{seq}", "me", NOW, "device_forget", {"device_id": device_id})


def test_what_waits_goes_ahead_of_the_command_that_forgets_its_device(run_node, a_reading):
    waiting = [a_reading(seq=n, device_id=f"site{n}", temp_inlet=float(n), timestamp=10_000) for n in (1, 2)]
    out = run_node(NODE, [*waiting, forget(3), Tick(4, 1, NOW + 500)], restart_every=1)
    assert [getattr(item, "device_id", type(item)) for item in out.dated] == ["site1", Command, "site2", Tick]
    assert out.logic.sizes() == {"devices": 1, "pending": 0}


def test_letters_that_wait_of_a_forgotten_device_are_dropped_and_counted(run_node, a_reading):
    waiting = [a_reading(seq=n, device_id=f"site{n}", temp_inlet=85.0, timestamp=10_000) for n in (1, 2)]
    out = run_node(NODE, [*waiting, forget(3), Tick(4, 1, NOW)])
    assert [letter.device_id for letter in out.dead] == ["site2"]
    assert out.counts == {"power-on value": 2, "pending": 0, "dropped": 1, "dead readings": 1}


def test_of_a_forgotten_device_neither_boot_nor_numbers_are_remembered(run_node, a_reading):
    def sent(seq):
        return a_reading(seq=seq, temp_inlet=1.0, number=7, boot_id="a", timestamp=10_000, arrived=NOW + seq)

    items = [sent(1), Tick(2, 1, NOW), forget(3, "site2"), sent(4), forget(5), sent(6), Tick(7, 2, NOW)]
    out = run_node(NODE, items, restart_every=1)
    assert [reading.order // ORDER_STEP for reading in out.repeated] == [4]
    assert dated(out) == [(1.0, 1, "boot"), (1.0, 6, "boot")]


def test_what_the_broker_remembers_makes_no_duplicate_of_its_original(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, number=6, boot_id="a", raw=b"6"),
        a_reading(seq=2, temp_inlet=2.0, number=7, boot_id="b", raw=b"7", retained=True),
        a_reading(seq=3, temp_inlet=1.0, number=6, boot_id="a", raw=b"6"),
        a_reading(seq=4, temp_inlet=2.0, number=7, boot_id="b", raw=b"7"),
        a_reading(seq=5, temp_inlet=2.0, number=7, boot_id="b", raw=b"7", retained=True),
    ]
    out = run_node(NODE, items)
    assert [value for value, _, _ in dated(out)] == [1.0, 2.0]
    assert [reading.order // ORDER_STEP for reading in out.repeated] == [3, 5]


def test_the_power_on_value_is_dropped_in_the_first_reading_of_a_boot_only_and_never_for_the_compressor(
    run_node, a_reading
):
    items = [
        a_reading(seq=1, temp_inlet=1.0, temp_outlet=85.0, temp_compressor=85.0, timestamp=NOW, boot_id="a"),
        a_reading(seq=2, temp_inlet=2.0, temp_outlet=85.0, timestamp=NOW, boot_id="a"),
        a_reading(seq=3, temp_inlet=3.0, temp_outlet=85.0, timestamp=NOW, boot_id="b"),
    ]
    kept = [item.values for item in run_node(NODE, items).dated]
    assert kept == [
        {"temp_inlet": 1.0, "temp_compressor": 85.0},
        {"temp_inlet": 2.0, "temp_outlet": 85.0},
        {"temp_inlet": 3.0},
    ]


def test_a_reading_of_nothing_but_power_on_values_is_a_dead_letter(run_node, a_reading):
    out = run_node(NODE, [a_reading(temp_outlet=85.0, timestamp=NOW)])
    assert [letter.reason for letter in out.dead] == ["empty"] and out.dated == []


def test_what_waited_in_a_build_that_kept_values_as_a_dict_is_dated_by_this_one():
    waiting = {
        "device_id": "site1", "order": ORDER_STEP, "arrived": NOW, "at": 0, "clock": "device", "timestamp": 60_000.0,
        "values": {"temp_inlet": 1.5, "compressor_running": True}, "boot_id": "a", "number": None, "version": None,
        "levels": {}, "invalid": [], "retained": False, "raw": b"{}", "checked": True, "retry": None,
    }  # fmt: skip
    boot = {"start": NOW - 60_000, "uptime": 60_000, "dated": False, "low": NOW - 60_000, "low_from": NOW}
    state = {
        "boot": {**boot, "boot_id": "a", "doubtful": None},
        "pending": [waiting],
        "boot_id": "a",
        "seen": True,
    }
    shared = {"raw_retention_ms": 30 * DAY, "waiting": {"site1": None}, "late": []}
    encode = msgspec.msgpack.encode
    logic = NODE.recover(NODE.Params(), (1, encode(shared), {"site1": encode(state)}))
    out = {port: [] for port in NODE.out}
    logic.on_items([Tick(2, 1, NOW)], out)
    (reading, _) = out["dated"]
    assert (reading.at, reading.clock, reading.sent) == (NOW, "boot", None)
    assert reading.values == {"temp_inlet": 1.5, "compressor_running": True}
    assert reading.text == b"{}"
