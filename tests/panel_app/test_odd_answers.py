"""The pages' process goes on after answers that nobody thought of, and says that there was one."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from api.serve import config
from panel_app.api_client import IDLE_S, ApiClient, ApiProblem
from panel_app.feed import Feed
from panel_app.pipeline_watch import PipelineSeen, PipelineWatch
from panel_app.watch import Seen, Watch

GOOD = {"type": "sensor_data", "device_id": "site1", "data": {}, "timestamp": "2026-02-10T13:08:07.000Z"}
EMPTY: dict[str, Any] = {
    "/api/health": {"status": "healthy"},
    "/api/pipeline": {"behind_ms": 0},
    "/api/alerts": [],
}


@asynccontextmanager
async def an_api(answers: dict[str, Any], said: tuple[str, ...] = ()) -> AsyncIterator[tuple[str, ApiClient]]:
    """Something that answers like no API of ours: `answers` by path, text as it is; gives its address and a client."""

    class Answers(RequestHandler):
        def get(self) -> None:
            answer = answers.get(self.request.path, {})
            self.finish(answer if isinstance(answer, str) else json.dumps(answer))

    class Speaks(WebSocketHandler):
        def open(self) -> None:
            for text in said:
                self.write_message(text)

        def on_message(self, message: str | bytes) -> None:
            pass

    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/ws", Speaks), (".*", Answers)]))
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    api = ApiClient(url, "")
    try:
        yield url, api
    finally:
        await api.close()
        server.stop()
        await server.close_all_connections()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


def test_what_is_no_message_does_not_end_the_hearing_of_the_next():
    async def hear() -> list[Any]:
        said = ("no json", "[1]", '{"type":"sensor_data"}', json.dumps(GOOD))
        async with an_api({}, said) as (url, api):
            feed = Feed(url, "")
            Watch(api, feed)
            heard: list[Any] = []
            feed.listen(heard.append)
            task = asyncio.create_task(feed.run())
            await until(lambda: GOOD in heard)
            assert feed.connected
            task.cancel()
            await asyncio.wait({task})
            return heard

    assert asyncio.run(hear())[-1] == GOOD


def test_a_device_is_followed_on_after_an_answer_without_sense():
    async def follow() -> list[Seen]:
        answers = {**EMPTY, "/api/devices/site1/status": {"measured_at": {"power": "noon"}}}
        async with an_api(answers) as (url, api):
            feed = Feed(url, "")
            watch, seen = Watch(api, feed), list[Seen]()
            stop = watch.follow("site1", seen.append)
            feed._tell(json.dumps(GOOD))  # after which it looks how new the answer is
            await until(lambda: seen and "status" in seen[-1].problems)
            answers["/api/devices/site1/status"] = {"measured_at": {"power": GOOD["timestamp"]}}
            watch.refresh("site1")
            await until(lambda: not seen[-1].problems)
            stop()
            return seen

    seen = asyncio.run(follow())
    assert any("not understood" in each.problems["status"].detail for each in seen if each.problems)


@pytest.mark.slow
def test_the_pipeline_is_followed_on_after_an_answer_without_sense():
    async def follow() -> list[PipelineSeen]:
        async with an_api({"/api/pipeline": ["what"]}) as (_, api):
            watch, seen = PipelineWatch(api), list[PipelineSeen]()
            stop = watch.follow(seen.append)
            await until(lambda: sum(each.problem is not None for each in seen) >= 2)
            stop()
            return seen

    assert asyncio.run(follow())[-1].answer is None


@pytest.mark.parametrize("body", ["", "<html>", "{"])
def test_what_is_no_json_is_a_problem_with_words(body: str):
    async def ask() -> None:
        async with an_api({"/api/devices": body}) as (_, api):
            await api.get("/api/devices")

    with pytest.raises(ApiProblem, match="no JSON"):
        asyncio.run(ask())


def test_a_command_that_a_busy_flow_has_not_done_yet_is_asked_for_until_its_outcome_is_known():
    keys: list[str] = []

    class Busy(RequestHandler):
        def post(self) -> None:
            keys.append(self.request.headers["Idempotency-Key"])
            self.set_status(202 if len(keys) < 3 else 200)
            self.finish(json.dumps({"outcome": "pending" if len(keys) < 3 else "done"}))

    async def ask() -> Any:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([(".*", Busy)]))
        server.add_sockets(sockets)
        api = ApiClient(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", "")
        try:
            return await api.post("/api/dead-letters/7/retry", {})
        finally:
            await api.close()
            server.stop()
            await server.close_all_connections()

    assert asyncio.run(ask()) == {"outcome": "done"}
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_error_without_words_is_told_in_plain_ones():
    async def ask() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            linger = struct.pack("ii", 1, 0)  # close with a reset, as a process that dies does
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        api = ApiClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "")
        try:
            await api.get("/api/devices")
        finally:
            await api.close()
            server.close()

    with pytest.raises(ApiProblem, match=r"the API cannot be reached \(the connection was cut off\)$"):
        asyncio.run(ask())


def test_the_pages_let_go_of_an_idle_connection_well_before_the_api_does():
    assert 2 * IDLE_S < config(None).timeout_keep_alive


@pytest.mark.parametrize("name", ["..", "../..", "x/../../health", "health?", "health#"])
def test_a_name_leads_to_no_other_route(name: str):
    async def ask() -> Any:
        async with an_api({"/api/health": "1", "/health": "1", "/api/devices/health": "1"}) as (_, api):
            return await api.get(f"/api/devices/{name}")

    try:
        assert asyncio.run(ask()) == {}, "the server was asked for a name that it does not know"
    except ApiProblem as problem:
        assert problem.status == 404
