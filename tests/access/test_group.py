"""The group of a device: kept through what others write, set by who names it."""

import pytest

from flows.errors import BadQuery
from flows.model.command import Command
from flows.model.device import DeviceMetadata, MetadataChanged, check_metadata
from flows.nodes.device import NODE

NOW = 1_770_000_000_000


@pytest.mark.parametrize("group", ["a/b", " north", "-x", "ä", "x" * 65, "north\n"])
def test_a_group_that_no_account_could_name_is_refused(group):
    with pytest.raises(BadQuery, match="group"):
        check_metadata(DeviceMetadata(group=group))


def test_metadata_without_a_group_keeps_the_one_in_force_then():
    node = NODE.build(NODE.Params(), None)

    def put(seq: int, **body) -> list[tuple[int, str]]:
        out: dict[str, list] = {port: [] for port in NODE.out}
        node.on_items([Command(seq, str(seq), "x", NOW + seq, "device_put", {"device_id": "site1", **body})], out)
        (changed,) = [item for item in out["items"] if isinstance(item, MetadataChanged)]
        return [(entry.valid_from - NOW, entry.group) for entry in changed.history]

    assert put(1, valid_from=NOW, group="north") == [(0, "north")]
    assert put(2, name="Cabin") == [(0, "north"), (2, "north")]
    assert put(3, valid_from=NOW + 100, group="south")[-1] == (100, "south")
    assert put(4, valid_from=NOW + 100, name="Mill")[-1] == (100, "south")
    assert put(5, group="")[2] == (5, "")
