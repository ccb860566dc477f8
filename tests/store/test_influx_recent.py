"""Rows of open buckets in memory: all of a bucket or nothing, whatever was written when, within bounds."""

import random

import numpy as np
import pytest

from flows.model.rollup import RollupRow
from flows.model.table import RollupTable
from flows.physics.compose import rows_of
from flows.store.influx.recent import MOST_BUCKETS, PLAIN_BYTES, Recent
from tests.folding import table_of_rows

from .conftest import HOUR, MINUTE, NOW, minute

NOTHING_STORED = {"1m": {}, "1h": {}}


def add(recent: Recent, *rows: RollupRow) -> None:
    recent.add("1m", [row.device_id for row in rows], table_of_rows(rows))


def rows_in(table: RollupTable | None) -> list[RollupRow] | None:
    return None if table is None else rows_of(table, "site1", "1m")


def row(at: int, order: int = 1, **values: float) -> RollupRow:
    return minute(NOW + at * MINUTE, order, heat="measured", **(values or {"voltage_mean": at / 7}))


@pytest.mark.parametrize("plain_bytes", [0, 5_000, PLAIN_BYTES])
@pytest.mark.parametrize("count", [1, 9, 10, 25, 60])
def test_a_bucket_comes_back_as_it_was_written_once(count, plain_bytes):
    recent = Recent(NOTHING_STORED, plain_bytes=plain_bytes)
    rows = [row(n) for n in range(count)]
    for first in range(0, count, 7):
        add(recent, *rows[first : first + 7])
    assert rows_in(recent.take("1m", "site1", NOW, -1)) == rows
    assert recent.take("1m", "site1", NOW, -1) is None


@pytest.mark.parametrize("plain_bytes", [0, PLAIN_BYTES])
def test_the_last_row_of_a_start_counts_and_columns_may_differ(plain_bytes):
    rng = random.Random(1)
    recent, newest = Recent(NOTHING_STORED, plain_bytes=plain_bytes), {}
    for order in range(200):
        at = rng.randrange(60)
        newest[at] = row(at, order, **{rng.choice(["voltage_mean", "power_mean"]): rng.random()})
        add(recent, newest[at])
    assert rows_in(recent.take("1m", "site1", NOW, -1)) == [newest[at] for at in sorted(newest)]


def test_a_bucket_of_which_rows_were_there_before_is_not_known_and_the_next_one_is():
    recent = Recent({"1m": {"site1": NOW + 20 * MINUTE}, "1h": {}})
    add(recent, row(30), row(61))
    assert recent.take("1m", "site1", NOW, -1) is None
    assert rows_in(recent.take("1m", "site1", NOW + HOUR, -1)) == [row(61)]


def test_rows_that_a_device_had_before_it_was_forgotten_are_left_out():
    recent = Recent(NOTHING_STORED)
    add(recent, row(1, 10), row(2, 20))
    assert rows_in(recent.take("1m", "site1", NOW, newer=10)) == [row(2, 20)]


def test_a_bucket_that_was_taken_does_not_come_back_in_part():
    recent = Recent(NOTHING_STORED)
    add(recent, row(1))
    recent.take("1m", "site1", NOW, -1)
    add(recent, row(2))
    assert recent.take("1m", "site1", NOW, -1) is None


@pytest.mark.parametrize("backwards", [False, True])
def test_of_many_buckets_of_a_device_the_newest_are_kept(backwards):
    recent = Recent(NOTHING_STORED)
    hours = [*range(MOST_BUCKETS + 10)]
    for hour in reversed(hours) if backwards else hours:
        add(recent, row(60 * hour), row(60 * hour + 1))
    known = [recent.take("1m", "site1", NOW + hour * HOUR, -1) is not None for hour in hours]
    assert known == [False] * 10 + [True] * MOST_BUCKETS


def test_beyond_its_bytes_what_is_oldest_goes_as_a_whole():
    recent = Recent(NOTHING_STORED, most_bytes=7_000)
    noise = np.random.default_rng(1)
    for at in range(0, 20):
        names = [f"site{n}" for n in range(10)]
        rows = [minute(NOW + at * MINUTE, 1, name, voltage_mean=float(noise.random())) for name in names]
        add(recent, *rows)
    found = [recent.take("1m", name, NOW, -1) for name in names]
    there = [len(table.start) for table in found if table is not None]
    assert 0 < len(there) < 10
    assert set(there) == {20}
