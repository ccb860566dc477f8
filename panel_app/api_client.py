"""ApiClient: asks the REST API; the pages' only way to data."""

import asyncio
import secrets
import ssl
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

PATIENCE_S = 10.0
LONG_PATIENCE_S = 20.0
"""For a reading to follow: the API itself waits for it up to 15 s."""

IDLE_S = 2.0
"""So long a connection without a question is kept. The API closes it after 5 s: who kept it as long would now and
then ask just when it is closed, and have no answer."""

MOST_ASKED = 6
"""How often it is asked for the outcome of a command: each time the API waits for it up to 5 s."""

UNAUTHORIZED, NOT_FOUND = 401, 404


class ApiProblem(Exception):
    """The API did not answer as hoped.

    status : HTTP's, 0 where there was no answer. detail: in words. body: what was answered all the same.
    """

    def __init__(self, path: str, status: int, detail: str, body: Any = None) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.status, self.detail, self.body = path, status, detail, body


class ApiClient:
    """Asks for one visitor, and no other. For the event loop's thread only.

    refused : set by every answer that the token is not taken.
    """

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.refused = asyncio.Event()
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=PATIENCE_S,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_S),
            trust_env=False,
            verify=_tls(),
        )

    async def get(self, path: str, *, patience_s: float = PATIENCE_S, **query: Any) -> Any:
        """Ask; the decoded answer. Raises ApiProblem, also where none came within patience_s."""
        return _decoded(path, await self._answer("GET", path, params=_given(query), timeout=patience_s))

    async def text(self, path: str, **query: Any) -> str:
        """Ask for what is no JSON. Raises ApiProblem."""
        return (await self._answer("GET", path, params=_given(query))).text

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a command; its outcome, which a busy flow takes its time for. Raises ApiProblem."""
        key = {"Idempotency-Key": secrets.token_hex(16)}  # asked again with it, a command has one effect
        for _ in range(MOST_ASKED):
            answer = _decoded(path, await self._answer("POST", path, json=body, headers=key))
            if not isinstance(answer, dict) or answer.get("outcome") != "pending":
                break
        return answer

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _answer(self, method: str, path: str, **given: Any) -> httpx.Response:
        # A path has names in it that came by the page's URL: none may lead to another route.
        if any(part in (".", "..") for part in path.split("/")):
            raise ApiProblem(path, NOT_FOUND, "nothing can be called so")
        try:
            answer = await self._client.request(method, quote(path, safe="/:"), **given)
        except httpx.TimeoutException:
            raise ApiProblem(path, 0, "the API did not answer in time") from None
        except httpx.HTTPError as error:
            # httpx has no words for a connection that is reset while it is read or written.
            why = str(error) or "the connection was cut off"
            raise ApiProblem(path, 0, f"the API cannot be reached ({why})") from None
        if answer.is_success:
            return answer
        if answer.status_code == UNAUTHORIZED:
            self.refused.set()
        body = _body(answer.content)
        detail = body.get("detail") if isinstance(body, dict) else None
        raise ApiProblem(path, answer.status_code, str(detail or f"the API answered {answer.status_code}"), body)


@cache
def _tls() -> ssl.SSLContext:
    """Read the trusted certificates once, not for each visitor: that takes longer than a question."""
    return ssl.create_default_context()


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _decoded(path: str, answer: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        raise ApiProblem(path, 0, "the API answered what is no JSON") from None


def _body(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
