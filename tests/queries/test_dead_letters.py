"""What a command on a dead letter carries, on every kind of store."""

from contextlib import closing

import pytest

from flows.model.dead_letter import DeadLetter
from flows.model.rows import RawRow
from flows.queries.dead_letters import command_body
from flows.store import StoreAddress, open_reader, open_writer

ARRIVED = 1_770_033_600_000


def letter(order: int, device_id: str = "site1") -> DeadLetter:
    return DeadLetter(order, device_id, f"heatpump/{device_id}/data", ARRIVED, "empty", "why", b"{}", 2)


def reading(order: int, at: int, device_id: str = "site1") -> RawRow:
    return RawRow.of(device_id, at, order, at, "arrival", {"temp_inlet": 20.0})


@pytest.mark.parametrize(
    ("taken", "free"),
    [([], 0), ([1, 2], 0), ([0, 1, 2, 4], 3), ([-1, 0], 1)],
)
def test_a_command_names_the_first_time_from_the_letters_arrival_on_that_its_device_has_no_reading_of(
    address: StoreAddress, taken: list[int], free: int
):
    rows = [reading(n + 1, ARRIVED + after) for n, after in enumerate(taken)]
    with closing(open_writer(address)) as writer:
        writer.apply([letter(90), *rows, reading(99, ARRIVED + 3, "site2")])
    with closing(open_reader(address)) as reader:
        assert command_body(reader, 90)["seen"]["free"] == ARRIVED + free
