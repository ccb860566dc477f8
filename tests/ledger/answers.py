"""Holds what derives from each reading, which no row keeps, against the oracle: as every reader is told it."""

from contextlib import closing
from math import isclose

from flows.store import StoreAddress, open_reader
from tests.ledger.compare import Expected
from tests.oracle.readings import derived

NAMES = ("delta_t", "heat_power", "carnot_cop", "pressure_ratio", "t_sat_low", "t_sat_high")
EVER = (0, 1 << 42)


def differences(store: StoreAddress, expected: dict[str, Expected]) -> list[str]:
    """Say of which readings another value is told, to 1e-9, or one that should not be."""
    found = []
    with closing(open_reader(store)) as reader:
        for device_id, of_device in expected.items():
            for row in reader.readings(device_id, *EVER, len(of_device.samples) + 1):
                wanted = derived(of_device.samples.get(row.at, {}))
                wrong = [
                    name
                    for name in NAMES
                    if (name in wanted) != (name in row.values)
                    or (name in wanted and not isclose(row.values[name], wanted[name], rel_tol=1e-9))
                ]
                if wrong:
                    told = ", ".join(f"{name} {row.values.get(name)} for {wanted.get(name)}" for name in wrong[:3])
                    found.append(f"{device_id}: the reading of {row.at} is told with {told}")
    return found
