"""Who may do what: the decision alone."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.access.account import ANYONE, Account, DeviceSet, check_account, permits, stands
from flows.errors import BadQuery

GROUPS = {"site1": "north", "site2": "south", "site3": ""}
NOW = datetime(2026, 2, 2, 12, tzinfo=UTC)
DIGEST = "0" * 64


def group_of(device_id: str) -> str:
    return GROUPS.get(device_id, "")


def an_account(scope="read", ids=(), groups=(), **more) -> Account:
    return Account("one", scope, DeviceSet(ids, groups) if ids or groups else "all", token=DIGEST, **more)


@pytest.mark.parametrize(
    ("has", "may"),
    [
        ("metrics", {"metrics"}),
        ("read", {"metrics", "read"}),
        ("command", {"metrics", "read", "command"}),
        ("admin", {"metrics", "read", "command", "admin"}),
    ],
)
def test_a_scope_holds_those_before_it_and_none_after(has, may):
    account = an_account(has)
    assert {
        scope for scope in ("metrics", "read", "command", "admin") if permits(account, scope, "x", group_of)
    } == may


def test_devices_are_those_named_and_those_of_named_groups_and_no_other():
    account = an_account(ids=("site3",), groups=("north",))
    seen = {one for one in ("site1", "site2", "site3", "site4") if permits(account, "read", one, group_of)}
    assert seen == {"site1", "site3"}


def test_the_whole_system_is_only_for_who_has_all_devices():
    assert permits(an_account(), "read", None, group_of)
    assert not permits(an_account(ids=("site1",)), "read", None, group_of)
    assert not permits(an_account(), "command", None, group_of)


def test_a_device_without_a_group_is_in_none():
    account = Account("one", "read", DeviceSet((), ("",)), token=DIGEST)
    assert not permits(account, "read", "site3", group_of)
    assert not permits(account, "read", "unknown", group_of)


def test_a_group_is_looked_up_only_where_it_decides():
    def never(device_id: str) -> str:
        raise AssertionError(device_id)

    assert permits(an_account(ids=("site1",), groups=("north",)), "read", "site1", never)
    assert not permits(an_account(ids=("site1",)), "read", "site2", never)
    assert permits(ANYONE, "admin", "site2", never)


def test_an_account_stands_until_it_expires():
    account = an_account(expires=NOW)
    assert stands(account, NOW - timedelta(seconds=1))
    assert not stands(account, NOW)
    assert stands(an_account(), NOW)


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (Account("", "read", "all", token=DIGEST), "name"),
        (Account("a b", "read", "all", token=DIGEST), "name"),
        (Account("x" * 65, "read", "all", token=DIGEST), "name"),
        (Account("api-token", "read", "all", token=DIGEST), "taken"),
        (Account("one", "metrics", "all", token=DIGEST), "scope"),
        (Account("one", "read", "all"), "either a token or a password"),
        (Account("one", "read", "all", token=DIGEST, password="x"), "either a token or a password"),
        (Account("one", "read", "all", token="hpm_secret"), "SHA-256"),
        (Account("one", "read", "all", password="secret"), "digest"),
        (Account("one", "read", DeviceSet(), token=DIGEST), "devices"),
        (Account("one", "read", DeviceSet(("../x",)), token=DIGEST), "devices.ids"),
        (Account("one", "read", DeviceSet((), ("",)), token=DIGEST), "devices.groups"),
    ],
)
def test_an_account_that_cannot_be_is_refused_by_what_is_wrong(account, said):
    with pytest.raises(BadQuery, match=said) as refusal:
        check_account(account)
    assert "secret" not in str(refusal.value)
