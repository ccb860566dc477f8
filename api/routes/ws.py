"""ws: fresh readings and alerts as they happen."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.deps import Given
from api.live import Client
from api.messages import Pong, text_of
from flows.model.times import iso, now_ms

router = APIRouter()

TOO_SLOW = 1013
GOODBYE_S = 5.0


@router.websocket("/ws")
@router.websocket("/api/ws")
async def live(websocket: WebSocket, given: Given) -> None:
    """Send what happens; answer whatever comes; let go of a client that reads too slowly."""
    offered = websocket.scope.get("subprotocols") or [""]
    await websocket.accept(subprotocol="bearer" if offered[0] == "bearer" else None)
    client = Client()
    given.hub.clients.add(client)
    ends = [
        asyncio.create_task(_send(websocket, client)),
        asyncio.create_task(_answer(websocket, client)),
        asyncio.create_task(client.overflowed.wait()),
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        given.hub.clients.discard(client)
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    if client.overflowed.is_set():
        # Said if it reads at all; serve.py has the kernel end a connection whose other side takes nothing.
        with suppress(TimeoutError, WebSocketDisconnect):
            await asyncio.wait_for(websocket.close(TOO_SLOW, "read faster"), GOODBYE_S)


async def _send(websocket: WebSocket, client: Client) -> None:
    while True:
        await websocket.send_text(await client.get())


async def _answer(websocket: WebSocket, client: Client) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        client.put(text_of(Pong(iso(now_ms()))))
