"""episode: notices what may have ended, asks little, and loses nothing over a restart."""

import pytest

from flows.model.device import Forgotten
from flows.model.episode import TRACED, Episode, EpisodeRow, Retrace
from flows.model.frame import Tick
from flows.model.history import Imported
from flows.model.reading import ORDER_STEP, Status
from flows.nodes.episode import NODE

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


@pytest.fixture
def a_series(a_reading):
    """Readings of one device, ten seconds apart; each is a dict of fields."""

    def make(*said, every=10 * SECOND):
        return [a_reading(seq, at=NOON + seq * every, **fields) for seq, fields in enumerate(said, 1)]

    return make


def asked(out):
    """What the store was asked for: kinds, start, end, about when it began. [s from NOON]"""
    requests = [row for row in out.rows if isinstance(row, Retrace)]
    return [(r.kinds, *((at - NOON) // SECOND for at in (r.start, r.end, r.begun))) for r in requests]


@pytest.mark.parametrize("restart_every", [None, 1, 2])
def test_a_flag_that_falls_asks_for_what_ended_between_the_two_readings(run_node, a_series, restart_every):
    on, off = (
        {"compressor_running": True, "defrost_active": True},
        {"compressor_running": True, "defrost_active": False},
    )
    stop = {"compressor_running": False, "defrost_active": False}
    out = run_node(NODE, a_series(off, off, on, on, off, off, stop), restart_every=restart_every)
    assert asked(out) == [(("defrost",), 40, 50, 30), (("cycle",), 60, 70, 10)]


def test_readings_that_say_the_same_ask_for_nothing(run_node, a_series):
    out = run_node(NODE, a_series(*[{"compressor_running": True, "power": 900.0}] * 200))
    assert out.rows == []


def test_a_flag_that_is_no_longer_sent_ends_with_its_hold(run_node, a_series):
    out = run_node(NODE, a_series({"dhw_active": True}, *[{"power": 20.0}] * 6, every=5 * MINUTE))
    assert asked(out) == [(("dhw_run",), 900, 1200, 300)]


def test_power_stands_for_the_compressor_where_no_flag_is_sent(run_node, a_series):
    out = run_node(NODE, a_series({"power": 150.0}, {"power": 149.0}, {"power": 10.0}))
    assert asked(out) == [(("cycle",), 10, 20, 10)]


def test_a_silence_is_a_gap(run_node, a_reading):
    readings = [a_reading(1, at=NOON, power=1.0), a_reading(2, at=NOON + HOUR, power=1.0)]
    out = run_node(NODE, readings)
    assert out.rows == [EpisodeRow("site1", 2 * ORDER_STEP, Episode("gap", NOON, NOON + HOUR))]


def test_a_late_reading_is_looked_at_with_the_next_ticks(run_node, a_reading):
    readings = [a_reading(1, at=NOON + HOUR, power=1.0), a_reading(2, at=NOON, power=1.0)]
    out = run_node(NODE, [*readings, Tick(3, 1, 0), Tick(4, 2, 0)])
    assert asked(out) == [(TRACED, -900, 900, -900)]
    assert out.logic.sizes() == {"devices": 1, "dirty": 0}


def test_a_flood_of_late_readings_is_spread_over_ticks(run_node, a_reading):
    readings = [a_reading(1, at=NOON + 50 * HOUR, power=1.0)]
    readings += [a_reading(2 + number, at=NOON + number * HOUR, power=1.0) for number in range(5)]
    out = run_node(NODE, [*readings, Tick(9, 1, 0)], spans_a_tick=2)
    assert len(asked(out)) == 2
    assert out.logic.sizes()["dirty"] == 3


def test_readings_after_imported_rows_are_looked_at_with_these(run_node, a_reading):
    readings = [a_reading(1, at=NOON + MINUTE, power=1.0), a_reading(2, at=NOON + HOUR, power=1.0)]
    out = run_node(NODE, [Imported("site1", NOON), *readings, Tick(3, 1, 0)])
    assert asked(out) == [(TRACED, -840, 4500, -840)]


def test_other_firmware_is_a_change_and_the_first_is_not(run_node, a_series, a_reading):
    said = [{"power": 1.0, "version": version} for version in ("1.0.0", "1.0.0", "1.1.0")]
    out = run_node(NODE, a_series(*said, {"power": 1.0}), restart_every=1)
    at = NOON + 30 * SECOND
    assert [row.episode for row in out.rows] == [Episode("change", at, at, detail="firmware 1.0.0 → 1.1.0")]


def test_firmware_told_by_status_counts_where_readings_do_not_tell_it(run_node, a_reading):
    def told(seq, version):
        return Status("site1", seq * ORDER_STEP, NOON + seq, "version", version)

    out = run_node(NODE, [told(1, "a"), told(2, "b"), a_reading(3, at=NOON, version="c"), told(4, "d")])
    assert [row.episode.detail for row in out.rows] == ["firmware a → b"]


def test_a_forgotten_device_begins_anew(run_node, a_series):
    first, second = a_series({"compressor_running": True}, {"compressor_running": False})
    out = run_node(NODE, [first, Forgotten("site1", 1), second])
    assert out.rows == []


def test_what_says_the_same_again_is_not_looked_into(a_reading, monkeypatch):
    readings = [
        a_reading(seq, f"d{seq % 100}", at=NOON + seq * 10, compressor_running=True, power=900.0, version="1")
        for seq in range(1, 2_001)
    ]
    logic = NODE.recover(NODE.Params(), None)
    logic.on_items(readings[:200], {"items": [], "rows": []})
    looked_into = []
    monkeypatch.setattr(logic, "_reading", lambda *given: looked_into.append(given))
    logic.on_items(readings[200:], {"items": [], "rows": []})
    assert looked_into == []
    assert logic.devices["d0"].at == NOON + 2_000 * 10


def test_a_flag_that_only_a_late_reading_says_is_on_ends_with_its_hold_too(run_node, a_reading):
    power = [a_reading(2 + number, at=NOON + number * 5 * MINUTE, power=1.0) for number in range(1, 5)]
    late = a_reading(4, at=NOON, dhw_active=True)
    out = run_node(NODE, [*power[:2], late, *power[2:]], restart_every=1)
    assert asked(out) == [(("dhw_run",), 600, 900, 0)]
