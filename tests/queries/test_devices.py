"""The list of devices, on every kind of store."""

from contextlib import closing

from flows.model.rows import DeviceRow
from flows.queries.devices import all_devices
from flows.store import StoreAddress, open_reader, open_writer


def test_devices_are_listed_as_people_count_them(address: StoreAddress):
    with closing(open_writer(address)) as writer:
        writer.apply([DeviceRow(f"site{number}", number) for number in (10, 2, 1, 100)])
    with closing(open_reader(address)) as reader:
        listed = [device.device_id for device in all_devices(reader, 0, 0)]
    assert listed == ["site1", "site2", "site10", "site100"]
