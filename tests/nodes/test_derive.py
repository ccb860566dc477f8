"""derive: what one message gives, by the metadata in force at its time."""

import pytest

from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged
from flows.model.reading import Reading
from flows.nodes.derive import NODE

from .conftest import NOW


def test_heat_and_spread_follow_from_flow_and_temperatures(run_node, a_reading):
    out = run_node(NODE, [a_reading(at=NOW, temp_inlet=30.0, temp_outlet=35.0, flow_rate=12.0, temp_ambient=7.0)])
    values = out.rows[0].values
    assert values["delta_t"] == 5.0
    assert values["heat_power"] == pytest.approx(12 / 60 * 4186 * 5)
    assert values["carnot_cop"] == pytest.approx((35 + 2 + 273) / (35 + 2 - (7 - 6)))
    assert out.live[0].cells is out.rows[0].cells


def test_power_is_the_sum_of_the_phases_only_where_it_is_absent(run_node, a_reading):
    phases = {"phase1_power": 100.0, "phase2_power": 200.0, "phase3_power": 300.0}
    rows = run_node(NODE, [a_reading(at=NOW, **phases), a_reading(at=NOW, power=1.0, **phases)]).rows
    assert [row.values["power"] for row in rows] == [600.0, 1.0]


def test_the_counter_needs_all_phases(run_node, a_reading):
    rows = run_node(
        NODE,
        [
            a_reading(at=NOW, phase1_energy=5.0),
            a_reading(at=NOW, phase1_energy=5.0, phase2_energy=1.0, phase3_energy=2.0),
        ],
    ).rows
    assert [row.values.get("electric_energy") for row in rows] == [None, 8.0]


@pytest.mark.slow
def test_saturation_needs_a_refrigerant_and_takes_the_one_in_force(run_node, a_reading):
    history = [DeviceMetadata(valid_from=NOW, refrigerant="R410A"), DeviceMetadata(valid_from=NOW + 10)]
    items = [
        MetadataChanged("site1", 1, history, NOW),
        *(a_reading(at=NOW + n, pressure_high=280.0, temp_outlet=30.0, temp_compressor=70.0) for n in (-1, 0, 10)),
    ]
    before, within, after = (row.values for row in run_node(NODE, items, restart_every=1).rows)
    assert "t_sat_high" not in before and "t_sat_high" not in after
    assert within["discharge_superheat"] == pytest.approx(70.0 - within["t_sat_high"])
    assert within["condenser_approach"] == pytest.approx(within["t_sat_high"] - 30.0)


def test_a_forgotten_device_loses_its_metadata(run_node, a_reading):
    items = [
        MetadataChanged("site1", 1, [DeviceMetadata(refrigerant="R32")], None),
        Forgotten("site1", 2),
        a_reading(at=NOW, pressure_high=280.0),
    ]
    out = run_node(NODE, items)
    assert out.rows[0].values == {"pressure_high": 280.0}
    assert isinstance(out.items[-1], Reading) and len(out.items) == 3
