"""cells: a row of numbers says what the dict says, alone and in a matrix of many."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.model import cells
from flows.model.quantities import BY_NAME


def _value(name):
    return st.booleans() if BY_NAME[name].kind == "flag" else st.floats(allow_nan=False)


values = st.fixed_dictionaries({}, optional={name: _value(name) for name in cells.NAMES})


def bits(said):
    """Tell 0.0 from −0.0, and a flag from its number."""
    return {name: (type(value), struct.pack("d", value)) for name, value in said.items()}


@given(st.lists(values, max_size=6))
def test_values_come_back_from_rows(sent):
    rows = [cells.cells_of(each) for each in sent]
    assert list(map(bits, map(cells.values_of, rows))) == list(map(bits, sent))
    assert cells.rows_of(cells.matrix_of(rows)) == rows


@given(st.lists(values, max_size=6))
def test_compacted_a_row_is_its_names_and_their_numbers_alone(sent):
    names, numbers = cells.compact(cells.matrix_of([cells.cells_of(each) for each in sent]))
    assert [set(theirs) for theirs in names] == [set(each) for each in sent]
    for each, theirs, packed in zip(sent, names, numbers, strict=True):
        assert np.array_equal(np.frombuffer(packed), [float(each[name]) for name in theirs])
        assert theirs is cells.interned(tuple(theirs))


def test_what_another_version_knew_is_left_out():
    assert cells.values_of(cells.cells_of({"power": 1.0, "no_such_quantity": 2.0})) == {"power": 1.0}


def test_ever_other_lists_of_names_do_not_fill_the_memory():
    for number in range(25_000):
        cells.interned((f"name{number}",))
    assert len(cells._LAYOUTS) <= 10_000
    assert cells.interned(("a", "b")) is cells.interned(("a", "b"))
