"""derive: rows as columns derive what each of them derives alone, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.cells import DERIVED_NAMES
from flows.model.device import REFRIGERANTS, DeviceMetadata
from flows.model.device import metadata_at as in_force
from flows.model.quantities import BY_NAME
from flows.model.table import table_of
from flows.physics.derive import derived_table, derived_values
from tests.effort import examples

INPUTS = (
    "temp_inlet", "temp_outlet", "temp_ambient", "temp_compressor", "flow_rate", "pressure_high", "pressure_low",
    "compressor_running",
)  # fmt: skip


def _values(name):
    quantity = BY_NAME[name]
    if quantity.kind == "flag":
        return st.booleans()
    return st.sampled_from([quantity.low, quantity.high]) | st.floats(quantity.low, quantity.high)


rows = st.fixed_dictionaries({}, optional={name: _values(name) for name in INPUTS})
metadata = st.builds(
    DeviceMetadata,
    valid_from=st.integers(0, 20),
    refrigerant=st.sampled_from(["", *REFRIGERANTS]),
    pressure_absolute=st.booleans(),
    glycol_percent=st.floats(0, 30),
)
histories = st.lists(metadata, max_size=3, unique_by=lambda entry: entry.valid_from).map(
    lambda entries: sorted(entries, key=lambda entry: entry.valid_from)
)


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.integers(0, 20), rows, max_size=8), histories, st.sets(st.sampled_from(INPUTS)))
def test_a_table_derives_what_its_rows_derive(sent, history, unknown):
    at = sorted(sent)
    kept = [{name: value for name, value in sent[time].items() if name not in unknown} for time in at]
    table = table_of(at, kept, tuple(name for name in INPUTS if name not in unknown))
    derived = derived_table(table, history)
    assert derived.names == DERIVED_NAMES and derived.at is table.at
    for time, values, row in zip(at, kept, derived.values, strict=True):
        expected = derived_values(values, in_force(history, time))
        found = {name: value for name, value in zip(DERIVED_NAMES, row.tolist(), strict=True) if value == value}
        assert found == expected


def test_pressures_on_and_beyond_the_ends_of_the_table_derive_alike():
    pressures = np.concatenate([np.linspace(0.0, 700.0, 5_001), np.nextafter([9.2, 711.0], 0.0)])
    kept = [{"pressure_high": value, "pressure_low": value} for value in pressures.tolist()]
    history = [DeviceMetadata(refrigerant="R410A", pressure_absolute=True)]
    derived = derived_table(table_of(list(range(len(kept))), kept, ("pressure_high", "pressure_low")), history)
    column = derived.values[:, DERIVED_NAMES.index("t_sat_high")].tolist()
    expected = [derived_values(values, history[0]).get("t_sat_high", "none") for values in kept]
    assert [value if value == value else "none" for value in column] == expected
    assert expected.count("none") > 1


@pytest.mark.parametrize("history", [[], [DeviceMetadata(refrigerant="R32")]])
def test_no_rows_derive_nothing(history):
    assert derived_table(table_of([], [], ("temp_inlet",)), history).values.shape == (0, len(DERIVED_NAMES))
