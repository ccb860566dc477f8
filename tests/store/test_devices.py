"""Devices: state part by part, newest values, what is forgotten."""

import msgspec

from flows.model.alert import Transition
from flows.model.device import Bounds, DeviceMetadata
from flows.model.rollup import Compose, Refold
from flows.model.rows import DeviceRow, Forget, LatestRow
from flows.store.protocol import StoredDevice

from .conftest import FOREVER, HOUR, MINUTE, NOW, letter, minute, outcome, raw, transition

HISTORY = [
    DeviceMetadata(name="Mill", refrigerant="R290"),
    DeviceMetadata(valid_from=NOW, name="Mill", glycol_percent=20.0, limits={"current": Bounds(warning=9.5)}),
]


def test_a_device_is_put_together_from_its_parts(store):
    store.apply(DeviceRow("site1", 1, online=True, last_seen=NOW, attributes={"rssi": "-61"}))
    store.apply(LatestRow("site1", 1, {"temp_inlet": (NOW, 45.2), "fan_running": (NOW - 5, False)}))
    store.apply(DeviceRow("site1", 2, metadata=HISTORY, attributes={"version": "1.2"}))
    found = store.reader.device("site1")
    assert found == StoredDevice(
        "site1",
        True,
        NOW,
        {"rssi": "-61", "version": "1.2"},
        {"temp_inlet": (NOW, 45.2), "fan_running": (NOW - 5, False)},
        HISTORY,
    )
    assert found.latest["fan_running"][1] is False


def test_devices_come_by_id_and_an_unknown_one_is_none(store):
    store.apply(
        *[DeviceRow(name, 1, last_seen=NOW) for name in ("b", "a", "c10", "c9")], raw(NOW, 2, device_id="d")
    )
    assert [device.device_id for device in store.reader.devices()] == ["a", "b", "c10", "c9", "d"]
    assert store.reader.device("e") is None


def test_the_list_can_do_without_newest_values(store):
    store.apply(
        DeviceRow("site1", 1, online=True, last_seen=NOW, attributes={"rssi": "-61"}, metadata=HISTORY),
        LatestRow("site1", 2, {"temp_inlet": (NOW, 45.2)}),
        raw(NOW, 3, device_id="site2"),
    )
    whole = store.reader.devices()
    assert [device.latest for device in whole] == [{"temp_inlet": (NOW, 45.2)}, {}]
    without = [msgspec.structs.replace(device, latest={}) for device in whole]
    assert store.reader.devices(with_latest=False) == without


def test_a_device_that_never_said_whether_it_is_online_has_none(store):
    store.apply(DeviceRow("site1", 1, last_seen=NOW))
    assert store.reader.device("site1") == StoredDevice("site1", None, NOW, {}, {}, [])


def test_each_part_keeps_its_own_order(store):
    store.apply(DeviceRow("site1", 9, online=False, attributes={"rssi": "-70"}))
    store.apply(DeviceRow("site1", 5, online=True, last_seen=NOW, attributes={"rssi": "-61", "version": "1"}))
    found = store.reader.device("site1")
    assert (found.online, found.last_seen, found.attributes) == (False, NOW, {"rssi": "-70", "version": "1"})


def test_newest_values_are_replaced_whole_and_by_newer_ones_only(store):
    store.apply(LatestRow("site1", 5, {"voltage": (NOW, 230.0), "power": (NOW, 1.0)}))
    store.apply(LatestRow("site1", 4, {"voltage": (NOW, 1.0)}))
    assert store.reader.device("site1").latest["voltage"] == (NOW, 230.0)
    store.apply(LatestRow("site1", 6, {"voltage": (NOW + 1, 231.0)}))
    assert store.reader.device("site1").latest == {"voltage": (NOW + 1, 231.0)}


def everything(device_id: str, order: int) -> list:
    return [
        DeviceRow(device_id, order, online=True, last_seen=NOW, attributes={"rssi": "-61"}, metadata=HISTORY),
        LatestRow(device_id, order, {"voltage": (NOW, 230.0)}),
        *[raw(NOW + n * MINUTE, order, device_id=device_id, voltage=230.0) for n in range(3)],
        minute(NOW, order, device_id=device_id, heat="counter", heat_kwh_space=0.1),
        Compose(device_id, order, "1h", NOW),
        Compose(device_id, order, "1d", NOW),
        transition("raised", order, alert=f"{device_id}/current/{order}"),
        letter(order, device_id=device_id),
        outcome(f"{device_id}-{order}", order),
    ]


def test_forgetting_a_device_leaves_no_trace_but_its_commands(store):
    store.apply(*everything("site1", 1), *everything("site2", 2))
    store.apply(Forget("site1", 3))
    assert [device.device_id for device in store.reader.devices()] == ["site2"]
    assert store.reader.readings("site1", 0, FOREVER, 10) == []
    assert [len(store.reader.rollups("site1", r, 0, FOREVER, 10)) for r in ("1m", "1h", "1d")] == [0, 0, 0]
    assert [alert.last.device_id for alert in store.reader.alerts(None, 0, FOREVER, 10)] == ["site2"]
    assert [found.device_id for found in store.reader.dead_letters(None, None, None, 10)] == ["site2"]
    assert [count.device_id for count in store.reader.dead_letter_counts(None, 0, FOREVER)] == ["site2"]
    assert store.reader.command("site1-1") is not None
    assert (store.reader.stats().total_readings, store.reader.stats().total_alerts) == (3, 1)
    assert [len(store.reader.rollups("site2", r, 0, FOREVER, 10)) for r in ("1m", "1h", "1d")] == [1, 1, 1]


def test_a_replay_brings_nothing_forgotten_back(store):
    before = everything("site1", 1)
    store.apply(*before)
    store.apply(Forget("site1", 2))
    store.apply(raw(NOW, 3, voltage=229.0))
    expected = store.content()
    store.apply(*before)
    store.apply(*before, Forget("site1", 2), raw(NOW, 3, voltage=229.0))
    assert store.content() == expected
    assert [row.values for row in store.reader.readings("site1", 0, FOREVER, 10)] == [{"voltage": 229.0}]


def test_how_a_journal_is_cut_around_a_forget_makes_no_difference(new_store):
    whole, pieces = new_store(), new_store()
    items = [
        *everything("site1", 1),
        Forget("site1", 2),
        *everything("site1", 3)[:4],
        Refold("site1", 1, NOW, NOW + HOUR, NOW + HOUR),
    ]
    whole.apply(*items)
    for item in items:
        pieces.apply(item)
    assert whole.content() == pieces.content()


def test_a_forget_that_comes_late_leaves_what_is_newer(store):
    store.apply(*everything("site1", 1))
    store.apply(DeviceRow("site1", 5, attributes={"version": "2"}), raw(NOW, 6, power=900.0))
    store.apply(Forget("site1", 4))
    found = store.reader.device("site1")
    assert found == StoredDevice("site1", None, 0, {"version": "2"}, {}, [])
    assert [row.at for row in store.reader.readings("site1", 0, FOREVER, 10)] == [NOW]
    assert store.reader.stats().total_readings == 1


def test_an_alert_that_outlives_a_forget_stands_as_its_newer_transitions_say(store):
    store.apply(transition("raised", 1), transition("acknowledged", 5, by="ada"))
    store.apply(Forget("site1", 4))
    found = store.reader.alert("site1/current/1")
    assert isinstance(found.last, Transition)
    assert (found.last.order, found.acknowledged_by) == (5, "ada")


def test_a_forgotten_device_of_which_only_refused_messages_came_since_is_none(store):
    store.apply(DeviceRow("site1", 1, online=True), letter(10), letter(11, device_id="site2"))
    store.apply(Forget("site1", 5), Forget("site2", 6))
    assert store.reader.devices() == []
    assert [each.id for each in store.reader.dead_letters(None, None, None, 9)] == [11, 10]
