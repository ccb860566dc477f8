"""ws: fresh readings and alerts as they happen."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from api.deps import Given
from api.live import Client
from api.messages import Pong, text_of
from api.needs import READ_OWN
from api.viewer import Viewer, Viewing
from flows.errors import StoreError
from flows.model.times import iso, now_ms

router = APIRouter()

TOO_SLOW, NOT_ALLOWED = 1013, 1008
GOODBYE_S = 5.0
LOOK_EVERY_S = 1.0
"""How often it is looked whether the token or session still stands, and which devices are in its groups. [s]"""


@router.websocket("/ws", dependencies=[READ_OWN])
@router.websocket("/api/ws", dependencies=[READ_OWN])
async def live(websocket: WebSocket, given: Given, viewer: Viewing) -> None:
    """Send what happens; answer whatever comes; let go of a client that reads too slowly, or may not any more."""
    client = Client(await _own_ids(viewer, frozenset()))
    offered = websocket.scope.get("subprotocols") or [""]
    await websocket.accept(subprotocol="bearer" if offered[0] == "bearer" else None)
    given.hub.clients.add(client)
    watch = asyncio.create_task(_watch(viewer, client))
    ends = [
        asyncio.create_task(_send(websocket, client)),
        asyncio.create_task(_answer(websocket, client)),
        asyncio.create_task(client.overflowed.wait()),
        watch,
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        given.hub.clients.discard(client)
        is_revoked = watch.done()
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    if client.overflowed.is_set() or is_revoked:
        code, why = (NOT_ALLOWED, "log in again") if is_revoked else (TOO_SLOW, "read faster")
        # Said if it reads at all; serve.py has the kernel end a connection whose other side takes nothing.
        with suppress(TimeoutError, WebSocketDisconnect):
            await asyncio.wait_for(websocket.close(code, why), GOODBYE_S)


async def _watch(viewer: Viewer, client: Client) -> None:
    """End when the credential is taken no more; meanwhile follow which devices its groups have."""
    while viewer.still_stands():
        await asyncio.sleep(LOOK_EVERY_S)
        if viewer.waits:
            client.own = await _own_ids(viewer, client.own)


async def _own_ids(viewer: Viewer, before: Collection[str] | None) -> Collection[str] | None:
    """List its devices; while the store is away those of before: it alone knows groups."""
    try:
        return await run_in_threadpool(viewer.own_ids) if viewer.waits else viewer.own_ids()
    except StoreError:
        return before


async def _send(websocket: WebSocket, client: Client) -> None:
    while True:
        await websocket.send_text(await client.get())


async def _answer(websocket: WebSocket, client: Client) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        client.put(text_of(Pong(iso(now_ms()))))
