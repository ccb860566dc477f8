"""clock: a device that counts milliseconds since boot gets the true time of each reading, whatever its boots."""

from hypothesis import given
from hypothesis import strategies as st

from flows.model.cells import cells_of
from flows.model.frame import Tick
from flows.model.reading import ORDER_STEP, Reading
from flows.nodes.clock import NODE

from .conftest import NOW


class Device:
    """A device with an uptime clock, as an oracle: it knows when it booted and when it measured."""

    def __init__(self, boots):
        self.readings, at, self.expected = [], NOW, []
        for offset, gaps in boots:
            at += offset
            start, up = at, 0
            for gap in gaps:
                up += gap
                self.readings.append((start + up, up))
                self.expected.append(start + up)
            at = start + up


gaps = st.lists(st.integers(5_000, 60_000), min_size=1, max_size=6)
boots = st.lists(
    # A boot's first uptime is smaller than the last boot's newest: else nothing tells the two apart.
    st.tuples(
        st.integers(5_000, 100_000), st.tuples(st.integers(1_000, 4_000), gaps).map(lambda t: [t[0], *t[1]])
    ),
    min_size=1,
    max_size=4,
)


def got_of(device, restart_every):
    """Send a device's readings, a tick after each, and restart now and then; returns the times they get."""
    items, seq = [], 0
    for number, (at, up) in enumerate(device.readings):
        seq += 2
        items.append(Reading("site1", seq * ORDER_STEP, at, cells_of({"temp_inlet": float(number)}), timestamp=up))
        items.append(Tick(seq + 1, seq, at + 500))
    got, snapshot = [], None
    for start in range(0, len(items), restart_every):
        out = {port: [] for port in NODE.out}
        logic = NODE.recover(NODE.Params(), snapshot)
        logic.on_items(items[start : start + restart_every], out)
        snapshot = logic.snapshot()
        got += [item.at for item in out["dated"] if isinstance(item, Reading)]
    return got


@given(boots, st.integers(1, 5))
def test_every_reading_of_every_boot_gets_its_true_time_wherever_the_flow_restarts(boots, restart_every):
    device = Device(boots)
    assert got_of(device, restart_every) == device.expected


@given(st.integers(100, 60_000), st.lists(st.integers(1, 100_000), min_size=1, max_size=5), st.integers(1, 5))
def test_a_device_that_crashes_at_one_and_the_same_uptime_loses_no_reading(up, pauses, restart_every):
    device = Device([(pause, [up]) for pause in pauses])
    assert got_of(device, restart_every) == device.expected


def test_the_same_reading_once_more_is_no_reboot_however_late_it_comes(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=85.0, power=1.0, timestamp=5_000),
        Tick(2, 1, NOW + 1000),
        a_reading(seq=3, temp_inlet=85.0, power=1.0, arrived=NOW + 60_000, timestamp=5_000),
        Tick(4, 2, NOW + 61_000),
    ]
    assert [reading.at for reading in run_node(NODE, items).dated if isinstance(reading, Reading)] == [NOW, NOW]


def test_two_parts_of_one_reading_have_one_time(run_node, a_reading):
    items = [
        a_reading(seq=1, temp_inlet=1.0, timestamp=5_000),
        a_reading(seq=2, power=1.0, arrived=NOW + 40, timestamp=5_000),
        Tick(3, 1, NOW + 1000),
    ]
    assert [reading.at for reading in run_node(NODE, items).dated if isinstance(reading, Reading)] == [NOW, NOW]
