"""viewer: what the account that asks may see, as routes use it."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.access import Access
from api.groups import Groups
from api.guard import ACCOUNT, CREDENTIAL
from flows.access.account import Account, Scope, has_scope, includes
from flows.errors import Forbidden


class Viewer:
    """Who asks, and by what credential."""

    def __init__(self, account: Account, credential: str | None, access: Access, groups: Groups) -> None:
        self.account, self._credential, self._access, self._groups = account, credential, access, groups

    @property
    def has_all(self) -> bool:
        """Whether nothing is left out of what it may see."""
        return self.account.has_all

    @property
    def waits(self) -> bool:
        """Whether `may_see` asks the store."""
        return self.account.devices != "all" and bool(self.account.devices.groups)

    def may_see(self, device_id: str) -> bool:
        """Tell whether a device is one of its own, as things are this moment. Raises StoreError."""
        return includes(self.account.devices, device_id, self._groups.of)

    def own_ids(self) -> frozenset[str] | None:
        """List its own devices, also those that have sent nothing yet; None for all. Raises StoreError."""
        devices = self.account.devices
        if devices == "all":
            return None
        table = self._groups.table() if self.waits else {}
        return frozenset(devices.ids).union(one for one, group in table.items() if group in devices.groups)

    def demand(self, scope: Scope) -> None:
        """Raise Forbidden where its scope is too small."""
        if not has_scope(self.account, scope):
            raise Forbidden(f"this needs the scope {scope}; {self.named} has {self.account.scope}")

    def demand_all(self) -> None:
        """Raise Forbidden unless it may see all devices."""
        if not self.has_all:
            raise Forbidden(f"this is about all devices; {self.named} has some of them")

    def signed(self, claimed: str | None) -> str:
        """Say who asks, for the audit: the account. Where there is none but the first, as the client says."""
        if self.account.name in ("", "api-token"):
            return claimed or "api"
        return self.account.name

    def still_stands(self) -> bool:
        """Tell whether its credential is still taken, with the same rights."""
        return self._credential is None or self._access.resolve(self._credential) == self.account

    @property
    def named(self) -> str:
        """Say who it is, in a sentence."""
        return f"{self.account.kind} {self.account.name!r}"


def viewer_of(connection: HTTPConnection) -> Viewer:
    """Find who asks; the guard has put it there, and lets nothing pass to a route that needs it without."""
    context = connection.app.state.context
    return Viewer(connection.scope[ACCOUNT], connection.scope[CREDENTIAL], context.access, context.groups)


async def _viewer(connection: HTTPConnection) -> Viewer:
    return viewer_of(connection)


Viewing = Annotated[Viewer, Depends(_viewer)]
