"""Accounts for tests of who may do what, and an API that demands one."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.access import file, tokens
from flows.access.account import Account, Devices, DeviceSet, Scope
from flows.settings import load_settings
from flows.store import StoreAddress
from tests.access import cheap
from tests.api.conftest import Api, running

FIRST = "the-first-token-of-this-test"
PASSWORD = "a good password"
KEPT = cheap.digest_of(PASSWORD)


def some(*ids: str, groups: tuple[str, ...] = ()) -> DeviceSet:
    return DeviceSet(ids, groups)


class People:
    """A file of accounts, and the tokens that stand nowhere else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens = {"first": FIRST}

    def token(self, name: str, scope: Scope = "read", devices: Devices = "all", **more) -> str:
        """Make a token; `more` as Account takes it."""
        self.tokens[name] = tokens.generated()
        with file.changing(self.path) as accounts:
            accounts.append(Account(name, scope, devices, token=tokens.digest_of(self.tokens[name]), **more))
        return self.tokens[name]

    def user(self, name: str, scope: Scope = "read", devices: Devices = "all", kept: str = KEPT, **more) -> None:
        """Make a user, whose password is PASSWORD. kept: as it stands in the file."""
        with file.changing(self.path) as accounts:
            accounts.append(Account(name, scope, devices, password=kept, **more))

    def remove(self, name: str) -> None:
        """Take an account away."""
        with file.changing(self.path) as accounts:
            accounts[:] = [account for account in accounts if account.name != name]

    def bearer(self, name: str) -> dict[str, str]:
        """Give the header that shows a token."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


@contextmanager
def demanding(people: People, store: StoreAddress, live: bool = False, **settings) -> Iterator[Api]:
    """Run an API that is bound beyond loopback, as far as it knows: nobody passes without a credential."""
    given = {"api_host": "0.0.0.0", "api_token": FIRST, "access": str(people.path), **settings}
    if isinstance(store, Path):
        given.setdefault("data", store.parent)
    with running(load_settings(**given), store, live) as api:
        yield api
