"""The flow's private port (flows/ingest/commands.py), as its client: one connection a question."""

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from flows.errors import FlowDown, FlowRefused, NotFound
from flows.model.command import CommandRequest
from flows.settings import Settings

ANSWER_S = 6.0


class _Place(NamedTuple):
    """Where the flow answers. shown, remedy: as people are told; token: may be changed while we run."""

    is_tls: bool
    host: str
    port: int
    shown: str
    token: str
    remedy: str


class FlowPort:
    """Finds the flow by HEATPUMP_FLOW_URL, else by what it wrote into the data folder; it may come and go.

    Every question raises FlowDown.
    """

    def __init__(self, settings: Settings | None, answer_s: float = ANSWER_S) -> None:
        """Take where to look; None where a store is served by itself. answer_s: how long to wait. [s]"""
        self._settings, self._answer_s = settings, answer_s

    def pipeline(self) -> bytes:
        """Ask for the graph's counters, as JSON."""
        return self._ask("GET", "/pipeline")

    def health(self) -> dict[str, Any]:
        """Ask for its own report."""
        return _decoded(self._ask("GET", "/health"))

    def submit(self, request: CommandRequest) -> int:
        """Have a command journaled; return its seq."""
        return int(_decoded(self._ask("POST", "/commands", msgspec.json.encode(request)))["seq"])

    def submit_history(self, payload: bytes) -> int:
        """Have a chunk of history journaled, see flows/model/history.py; return its seq."""
        return int(_decoded(self._ask("POST", "/history", payload))["seq"])

    def standing(self, device_id: str, import_id: str) -> bytes:
        """Ask how far an import has come, as JSON."""
        return self._ask("GET", f"/history/{device_id}/{import_id}")

    def node(self, step: str) -> bytes:
        """Ask what a node is and what passed it last, as JSON. Raises NotFound naming the steps there are."""
        return self._ask("GET", f"/nodes/{quote(step, safe='')}")

    def trace(self, device_id: str, after: int | None) -> dict[str, Any]:
        """Ask for the way of a device's newest message, or of the first behind a number of the journal."""
        behind = "" if after is None else f"/{after}"
        return _decoded(self._ask("GET", f"/trace/{quote(device_id, safe='')}{behind}"))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        place = self._find()
        kind = http.client.HTTPSConnection if place.is_tls else http.client.HTTPConnection
        connection = kind(place.host, place.port, timeout=self._answer_s)
        try:
            connection.request(
                method, path, body, {"Authorization": f"Bearer {place.token}", "Connection": "close"}
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise FlowDown(f"does not answer {place.shown} ({why})", place.remedy) from None
        finally:
            connection.close()
        if answer.status == 401:
            remedy = "both must have the same HEATPUMP_COMMAND_TOKEN: start again the one that has the older"
            raise FlowRefused(f"refuses our token {place.shown}", remedy)
        if answer.status == 404:
            raise NotFound(str(_decoded(text).get("detail", "there is no such thing")))
        if answer.status >= 400:
            down = FlowDown if answer.status >= 500 else FlowRefused
            raise down(f"answered {answer.status}: {text[:300].decode(errors='replace')}")
        return text

    def _find(self) -> _Place:
        settings = self._settings
        if settings is None:
            raise FlowDown("is not there: a store is served by itself", "leave out --store to have one")
        token = settings.command_token.get_secret_value() or self._kept_token(settings)
        if settings.flow_url:
            if not token:
                raise FlowDown(
                    f"at {settings.flow_url} wants a token, and none is known here",
                    "give HEATPUMP_COMMAND_TOKEN, the same as the flow has",
                )
            url = urlsplit(settings.flow_url)
            is_tls = url.scheme == "https"
            port = url.port or (443 if is_tls else 80)
            remedy = "does it run, and may we reach it? HEATPUMP_FLOW_URL says where it is"
            return _Place(is_tls, url.hostname or "", port, f"at {settings.flow_url}", token, remedy)
        note = settings.data / "run" / "flow.json"
        try:
            told = json.loads(note.read_text())
            port, host = int(told["command_port"]), str(told.get("command_host", "127.0.0.1"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise FlowDown(f"is not running, or not yet: {note} names no port", "start `heatpump up`") from None
        return _Place(False, host, port, f"on its port {port}", token, "see `heatpump status`")

    @staticmethod
    def _kept_token(settings: Settings) -> str:
        """Read the token that the flow made; it may have made another since."""
        try:
            return (settings.data / "secrets" / "command-token").read_text().strip()
        except (OSError, ValueError):
            return ""


def _decoded(answer: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        raise FlowDown("gives no answer that makes sense", "see `heatpump status`") from None
