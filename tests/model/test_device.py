"""What is known of a device that it does not send."""

import pytest

from flows.model.device import in_order


@pytest.mark.parametrize(
    "counted",
    [
        ["site1", "site2", "site10", "site10a", "site10b"],
        ["7", "40", "house-9.1", "house-9.12", "house-10", "site"],
        ["a", "b2-west3", "b2-west20", "b10-west1"],
    ],
)
def test_devices_are_in_the_order_in_which_people_count(counted):
    assert sorted(reversed(counted), key=in_order) == counted
