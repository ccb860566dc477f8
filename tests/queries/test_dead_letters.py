"""What a command on a dead letter carries, on every kind of store."""

from contextlib import closing

import pytest

from flows.errors import BadQuery
from flows.model.dead_letter import DeadLetter
from flows.model.rows import RawRow
from flows.queries.dead_letters import command_body, dead_letters
from flows.store import StoreAddress, open_reader, open_writer

ARRIVED = 1_770_033_600_000


def letter(order: int, device_id: str = "site1", reason: str = "empty") -> DeadLetter:
    return DeadLetter(order, device_id, f"heatpump/{device_id}/data", ARRIVED, reason, "why", b"{}", 2)


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


def test_letters_of_a_newer_build_are_listed_with_a_reason_that_this_one_does_not_know(address: StoreAddress):
    with closing(open_writer(address)) as writer:
        writer.apply([letter(90), letter(91, reason="of_tomorrow")])
    with closing(open_reader(address)) as reader:
        assert [each.id for each in dead_letters(reader, None, None, None, 9)[0]] == [91, 90]
        assert [each.id for each in dead_letters(reader, None, "of_tomorrow", None, 9)[0]] == [91]
        with pytest.raises(BadQuery, match="'of_never' must be one of"):
            dead_letters(reader, None, "of_never", None, 9)
