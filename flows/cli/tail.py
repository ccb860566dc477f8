"""heatpump tail: readings, alerts and dead letters in the terminal as they happen."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import AskedPort, Data, checked_device
from flows.cli.words import counted, printable

if TYPE_CHECKING:
    import httpx

    from flows.settings import Settings

SHOWN = ("temp_outlet", "temp_inlet", "power", "temp_ambient")
ANSWER_S = 5.0
LOOK_EVERY_S = 1.0
RETRY_S = 1.0
MOST_LETTERS = 500
LONGEST_WHOLE = 20
"""Digits of a whole number, which 64 bits hold."""


def tail(
    device: Annotated[str | None, typer.Argument(help="Only this device.", metavar="DEVICE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, for programs.")] = False,
    api_port: AskedPort = None,
    data: Data = None,
) -> int:
    """Show readings, alerts and dead letters as they happen.

    Of a device at most one reading a second. The API must run; while it does not, waits for it and says so. Ctrl-C
    ends it.

    Examples:
      heatpump tail

      heatpump tail site1 --json
    """
    import os
    import sys

    from flows.settings import load_settings

    if device is not None:
        checked_device("DEVICE", device)
    settings = load_settings(data=data, api_port=api_port)
    try:
        for event in _events(settings, device, api_port is None):
            line = json.dumps(event) if as_json else _line(event)
            print(line, flush=True)  # noqa: T201 (typer.echo costs a look-up of the stream each)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # such as `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _events(settings: "Settings", device: str | None, find_port: bool) -> Iterator[dict[str, Any]]:
    """Give what happens, from connection to connection, endlessly. Raises ConfigError where the token is wrong.

    find_port: ask what `up` runs, which may start later and elsewhere.
    """
    import socket
    import time

    import httpx
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    from flows.cli.checks import api_address, api_token_of
    from flows.cli.status import as_it_runs
    from flows.errors import ConfigError

    token = api_token_of(settings)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    known, told = False, ""
    with httpx.Client(headers=headers, timeout=ANSWER_S, trust_env=False) as client:
        letters = Letters(client, device)
        while True:
            host, port = api_address(as_it_runs(settings) if find_port else settings)
            client.base_url = f"http://{host}:{port}"
            try:
                letters.begin()
                link = socket.create_connection((host, port), ANSWER_S)  # by ourselves: no proxy is asked
                with connect(f"ws://{host}:{port}/ws", sock=link, additional_headers=headers) as live:
                    _say("connected again" if known else "connected")
                    known, told = True, ""
                    yield from _session(live, letters, device)
            except httpx.HTTPStatusError as error:
                if error.response.status_code in (401, 403, 421):
                    allowed = "is not the API's token: HEATPUMP_API_TOKEN, or --data of the API's folder, has it"
                    raise ConfigError("the token", "…", allowed) from None
                reason = f"answers {error.response.status_code}"
            except (OSError, httpx.HTTPError, WebSocketException):
                reason = "does not answer"
            if (problem := f"the API {reason} at {host}:{port}") != told:
                lost = "connection lost: " if known and not told else ""
                _say(f"{lost}{problem}; trying again")
            told = problem
            time.sleep(RETRY_S)


def _session(live: Any, letters: "Letters", device: str | None) -> Iterator[dict[str, Any]]:
    """Give what one connection brings, and once a second what was refused meanwhile."""
    import time

    look_at = time.monotonic()
    while True:
        left = look_at - time.monotonic()
        if left <= 0:
            yield from letters.new()
            look_at = time.monotonic() + LOOK_EVERY_S
            continue
        try:
            event = _event(live.recv(timeout=left))
        except TimeoutError:
            continue
        if device in (None, event.get("device_id")):
            yield event


def _event(text: str) -> dict[str, Any]:
    """Read a message; a number that no program here could hold stays the text that its device sent."""
    import math

    def whole(digits: str) -> int | str:
        return int(digits) if len(digits) <= LONGEST_WHOLE else digits

    def real(digits: str) -> float | str:
        return number if math.isfinite(number := float(digits)) else digits

    event: dict[str, Any] = json.loads(text, parse_int=whole, parse_float=real)
    return event


class Letters:
    """Dead letters that came since the beginning, by asking: the WebSocket does not tell them."""

    def __init__(self, client: "httpx.Client", device: str | None) -> None:
        self._client = client
        self._asked = {"state": "all", "limit": str(MOST_LETTERS)} | ({"device_id": device} if device else {})
        self._newest: int | None = None

    def begin(self) -> None:
        """Pass over those that are there, the first time; after a lost connection they go on where they were."""
        if self._newest is None:
            self._newest = max((letter["id"] for letter in self._read()), default=0)

    def new(self) -> list[dict[str, Any]]:
        """Give those that came since, oldest first."""
        seen = self._newest or 0
        fresh = [letter for letter in self._read() if letter["id"] > seen]
        self._newest = max([seen, *(letter["id"] for letter in fresh)])
        if len(fresh) == MOST_LETTERS:
            _say(f"more than {counted(MOST_LETTERS, 'dead letter')} at once: `heatpump dead-letters list` has all")
        return [{"type": "dead_letter", **letter} for letter in reversed(fresh)]

    def _read(self) -> list[dict[str, Any]]:
        answer = self._client.get("/api/dead-letters", params=self._asked).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


def _line(event: dict[str, Any]) -> str:
    """Write an event in one line of at most 80 characters, if its names are short."""
    kind, device = event["type"], event.get("device_id") or event.get("topic") or ""
    if kind == "dead_letter":
        at, told = event["arrived"], f"dead: {event['reason']}: {event['detail']}"
    elif kind == "alert":
        at, told = event["timestamp"], f"alert {event['state']}, {event['level']}: {event['message']}"
    else:
        at, told = event["timestamp"], _values(event["data"])
    return printable(f"{at[11:19]}  {device:<12}  {told}".replace("\n", " "))


def _values(payload: dict[str, Any]) -> str:
    """Pick what matters most out of a payload as its device sent it."""
    from flows.model.quantities import BY_NAME, QUANTITIES

    found: list[str] = []
    for quantity in (*(BY_NAME[name] for name in SHOWN), *QUANTITIES):
        value: Any = payload
        for key in quantity.path:
            value = value.get(key) if isinstance(value, dict) else None
        if quantity.path and isinstance(value, int | float) and not isinstance(value, bool):
            said = f"{quantity.name.removeprefix('temp_')} {value:g} {quantity.unit}".strip()
            if said not in found and len(found) < len(SHOWN):
                found.append(said)
    return ", ".join(found) or json.dumps(payload, ensure_ascii=False)


def _say(sentence: str) -> None:
    """Tell of the connection beside the data."""
    typer.echo(f"heatpump tail: {sentence}", err=True)
