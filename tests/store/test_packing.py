"""Packing: whatever doubles go in, the same come out, bit for bit, and what sensors send takes few bytes."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.store.sqlite.packing import Layout, layout, pack, unpack
from tests.effort import examples

COLUMNS = (
    ("a", 100.0, 10_000.0),
    ("f", 0.0, 0.0),
    ("m", 100.0, 600_000.0),
    ("c", 1000.0, 1000.0),
    ("g", 0.0, 0.0),
)

decimals = st.builds(
    lambda whole, scale: whole / scale, st.integers(-(10**7), 10**7), st.sampled_from([1, 10, 600_000])
)
cells = st.one_of(
    st.just(math.nan),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 614.39, -40.96]),
    decimals,
    st.floats(allow_nan=False),
)
rows = st.integers(0, 9).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=12).map(
        lambda found: np.array(found, dtype=np.float64).reshape(len(found), width)
    )
)


def wide(width: int) -> Layout:
    return layout(
        tuple(
            (f"{name}{n}", coarse, fine)
            for n, (name, coarse, fine) in zip(range(width), COLUMNS * 3, strict=False)
        )
    )


def bits(values: np.ndarray) -> list:
    return [[None if math.isnan(cell) else struct.pack("<d", cell) for cell in row] for row in values.tolist()]


@settings(max_examples=examples(200), deadline=None)
@given(values=rows)
def test_any_doubles_come_back_bit_for_bit(values):
    given_layout = wide(values.shape[1])
    assert bits(unpack(given_layout, pack(given_layout, values))) == bits(values)


@settings(max_examples=examples(60), deadline=None)
@given(values=rows, more=st.integers(0, 5), rng=st.randoms(use_true_random=False))
def test_columns_may_be_added_later_and_chosen_ones_read_alone(values, more, rng):
    width = values.shape[1]
    bodies = pack(wide(width), values)
    longer = wide(width + more)
    found = unpack(longer, bodies)
    assert bits(found[:, :width]) == bits(values)
    assert np.isnan(found[:, width:]).all()
    chosen = rng.sample(range(width + more), rng.randint(0, width + more))
    assert bits(unpack(longer, bodies, chosen)) == bits(found[:, chosen])


@settings(max_examples=examples(60), deadline=None)
@given(values=rows)
def test_a_row_is_packed_alone_as_among_others(values):
    given_layout = wide(values.shape[1])
    assert [pack(given_layout, values[n : n + 1])[0] for n in range(len(values))] == pack(given_layout, values)


@pytest.mark.parametrize(
    ("cell", "size"),
    [(45.2, 2), (-40.0, 2), (230.55, 2), (1959.25, 4), (45.1875, 4), (45.123456789, 8), (-0.0, 8), (1e300, 8)],
)
def test_decimals_take_two_or_four_bytes_and_any_other_double_eight(cell, size):
    (body,) = pack(layout((("a", 100.0, 10_000.0),)), np.array([[cell]]))
    assert len(body) == 2 + size


def test_flags_and_missing_values_take_two_bits():
    flags = layout(tuple((f"f{n}", 0.0, 0.0) for n in range(8)))
    (body,) = pack(flags, np.array([[0.0, 1.0, math.nan, 1.0, 0.0, 0.0, 1.0, math.nan]]))
    assert len(body) == 1 + 2
    (nothing,) = pack(flags, np.full((1, 8), math.nan))
    assert len(nothing) == 1
