"""needs: what each route demands of who asks. A route that does not say is not served."""

from collections.abc import Iterable, Iterator
from typing import Literal

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from api.viewer import viewer_of
from flows.access.account import Scope
from flows.errors import DeviceNotFound

Over = Literal["device", "own", "system"]
"""device: the one of the path; own: the route leaves out what is another's; system: all devices."""


class Needs:
    """A dependency: raises Forbidden, or DeviceNotFound where a device is another's, as where there is none.

    scope : None: open to everybody.
    """

    def __init__(self, scope: Scope | None, over: Over) -> None:
        self.scope, self.over = scope, over

    async def __call__(self, connection: HTTPConnection) -> None:
        """Let who asks pass, or raise."""
        if self.scope is None:
            return
        viewer = viewer_of(connection)
        viewer.demand(self.scope)
        if self.over == "system":
            viewer.demand_all()
        elif self.over == "device":
            device_id = connection.path_params["device_id"]
            if viewer.waits:
                is_own = await run_in_threadpool(viewer.may_see, device_id)
            else:
                is_own = viewer.may_see(device_id)
            if not is_own:
                raise DeviceNotFound(device_id)


OPEN = Depends(Needs(None, "own"))
READ_DEVICE, READ_OWN, READ_SYSTEM = (Depends(Needs("read", over)) for over in ("device", "own", "system"))
COMMAND_DEVICE, COMMAND_OWN = Depends(Needs("command", "device")), Depends(Needs("command", "own"))
ADMIN_DEVICE = Depends(Needs("admin", "device"))
METRICS = Depends(Needs("metrics", "system"))


def needs_of(route: BaseRoute) -> Needs | None:
    """Find what a route demands; None if it does not say."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    calls = [each.call for each in dependant.dependencies] if dependant is not None else []
    return next((call for call in calls if isinstance(call, Needs)), None)


def check_declared(routes: Iterable[BaseRoute]) -> None:
    """Refuse to serve a route that does not say what it demands. Raises RuntimeError."""
    silent = sorted(str(getattr(route, "path", route)) for route in undeclared(routes))
    if silent:
        raise RuntimeError(f"these routes do not say what they need (api/needs.py): {', '.join(silent)}")


def undeclared(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Give the routes that do not say."""
    return (route for route in routes if needs_of(route) is None)
