"""One InfluxDB server: writes, questions, deletions, buckets, and what its refusals mean.

Everything raises our errors, with InfluxDB's own words in them:
RetryableStoreError  it is away, starting, overloaded, full, or refuses who asks (401, 404): wait, lose nothing
RowRefused           one of the lines can never be stored (400, 422)
StoreError           it does not understand the request: a fault of ours
"""

import json
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError, ProtocolError

from flows.errors import NoStoreYet, OutsideRetention, RetryableStoreError, RowRefused, StoreError
from flows.model.influx_address import InfluxAddress
from flows.store.influx.answers import Block, blocks

WRITE_TIMEOUT_MS = 30_000
QUERY_TIMEOUT_MS = 20_000
HELLO_TIMEOUT_S = 3.0
PING_TIMEOUT_MS = 2_000

PIECE_BYTES = 1 << 16
"""Of an answer so much is read at once, and looked at while the server makes more. [B]"""

CONNECTIONS = 50
"""So many are kept for the next question; more of them at once work, but are let go with a line in the log."""


_PLAIN = Dialect(header=True, annotations=[], delimiter=",", date_time_format="RFC3339")
_GROUPED = Dialect(header=True, annotations=["group"], delimiter=",", date_time_format="RFC3339")
_GZIP = 16 + zlib.MAX_WBITS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OUTSIDE_RETENTION = "outside retention policy"
"""What InfluxDB says of points that it dropped because they are too old for the bucket."""

_LATER = ("queue length exceeded", "memory allocation limit reached", "organization name")
"""What it says with status 400 of questions that it may answer later."""

_NO_BUCKET = "could not find bucket"
_LONGEST_WORDS = 500


class Refused(RetryableStoreError):
    """The server answers, but not with what was asked for, yet. status: of HTTP."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class NoBucket(Refused, NoStoreYet):
    """A bucket that is asked is not there, or the token may not read it: InfluxDB says the same of both."""


class RetryAfter(Refused):
    """Something between us and the server asks to wait. seconds: how long."""

    def __init__(self, text: str, status: int, seconds: float) -> None:
        super().__init__(text, status)
        self.seconds = seconds


class Hello(msgspec.Struct, frozen=True):
    """What a server says of itself. at: its clock, to the second. [ms since 1970, UTC]"""

    version: str
    at: int | None


class InfluxServer:
    """A connection, shared by threads."""

    def __init__(self, address: InfluxAddress, timeout_ms: int = QUERY_TIMEOUT_MS) -> None:
        """timeout_ms: so long an answer to a question is waited for. [ms]"""
        self.address = address
        # On one machine unpacking costs the server more than the network does.
        self._far = urlsplit(address.url).hostname not in ("127.0.0.1", "::1", "localhost")
        self.client = InfluxDBClient(
            address.url,
            address.token,
            org=address.org,
            timeout=timeout_ms,
            retries=False,
            connection_pool_maxsize=CONNECTIONS,
        )
        self._writes = WriteService(self.client.api_client)
        self._questions = self.client.query_api()
        self._deletions = self.client.delete_api()

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        """Store lines of line protocol durably: what a return promises survives kill -9 and power loss.

        Raises RetryableStoreError, OutsideRetention, RowRefused.
        """
        with self.speaking(f"write into {bucket}"):
            _, status, _ = self._writes.post_write_with_http_info(
                self.address.org,
                bucket,
                _squeezed(lines) if self._far else lines,
                precision=precision,
                content_encoding="gzip" if self._far else "identity",
                content_type="text/plain; charset=utf-8",
                _request_timeout=WRITE_TIMEOUT_MS,
                _return_http_data_only=False,
            )
        if status != 204:
            raise self.no_influxdb(f"{status} to a write")

    def ask(self, flux: str, **bound: Any) -> Iterator[Block]:
        """Ask a question; see `text`."""
        yield from blocks(self.text(flux, **bound))

    def text(self, flux: str, *, grouped: bool = False, **bound: Any) -> str:
        """Ask a question, get the whole answer; see `stream`."""
        return "".join(self.stream(flux, grouped=grouped, **bound))

    def stream(self, flux: str, *, grouped: bool = False, **bound: Any) -> Iterator[str]:
        """Ask a question in Flux, get CSV as it comes; `p_name` in it is the value bound to `name`.

        grouped : with InfluxDB's annotation that tells which columns make the tables.
        bound   : text, numbers, flags, datetimes (see `moment`) and lists of these: never part of the text.
        Raises RetryableStoreError, StoreError.
        """
        values = {f"p_{name}": value for name, value in bound.items()}
        with self.speaking("read"):
            answer = self._questions.query_raw(flux, dialect=_GROUPED if grouped else _PLAIN, params=values)
            with closing(answer):  # one that was read to its end has let go of its connection by then
                kind: str = answer.headers.get("Content-Type", "")
                if not kind.startswith("text/csv"):
                    raise self.no_influxdb(f"a question with {kind or 'nothing'}")
                decoder = getincrementaldecoder("utf-8")("replace")
                while piece := answer.read(PIECE_BYTES):
                    yield decoder.decode(piece)
                yield decoder.decode(b"", final=True)

    def delete(self, bucket: str, predicate: str, start: int, end: int) -> None:
        """Delete points in [start, end) [ms] that a predicate names; it may hold no text but tags of `tag_of`."""
        with self.speaking(f"delete from {bucket}"):
            self._deletions.delete(
                moment(start), moment(end) - timedelta(microseconds=1), predicate, bucket, self.address.org
            )

    def close(self) -> None:
        """Let connections go; safe to call twice."""
        self.client.close()

    def hello(self) -> Hello:
        """Ask who it is, without the token. Raises RetryableStoreError."""
        with self.speaking("tell who it is"):
            answer = urllib3.request(
                "GET", f"{self.address.url}/ping", timeout=HELLO_TIMEOUT_S, retries=False, redirect=False
            )
        version = answer.headers.get("X-Influxdb-Version")
        if version is None:
            raise self.no_influxdb(f"{answer.status} to /ping")
        date = answer.headers.get("Date")
        return Hello(version, round(parsedate_to_datetime(date).timestamp() * 1000) if date else None)

    @contextmanager
    def speaking(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into our errors. doing: "write into sensor_data"."""
        where = f"InfluxDB at {self.address.url}"
        try:
            yield
        except ApiException as error:
            if not error.status:
                raise RetryableStoreError(f"{where} does not answer: {_one_line(error.reason)}") from None
            raise _meaning(f"{where} refuses to {doing}", error) from None
        except (HTTPError, OSError) as error:
            raise RetryableStoreError(f"{where} does not answer: {_why(error)}") from None

    def no_influxdb(self, answered: str) -> RetryableStoreError:
        """Take nothing as stored, or as absent, that something else than InfluxDB said."""
        return RetryableStoreError(f"what answers at {self.address.url} is no InfluxDB 2: it answered {answered}")


def _squeezed(lines: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return packer.compress(lines) + packer.flush()


def moment(ms: int) -> datetime:
    """A time to bind in a question. ms: [ms since 1970, UTC]"""
    return _EPOCH + timedelta(milliseconds=ms)


def _meaning(doing: str, error: ApiException) -> StoreError:
    words = _words(error)
    text = f"{doing}: {error.status} {words}{_remedy(error.status, words)}"
    if _NO_BUCKET in words:
        return NoBucket(text, error.status)
    if (error.status in (400, 422) and "to write" in doing) or error.status == 413:
        return OutsideRetention(text) if OUTSIDE_RETENTION in words else RowRefused(text)
    if error.status in (400, 405, 422, 501) and not any(later in words for later in _LATER):
        return StoreError(text)
    headers: Any = error.headers or {}
    try:
        return RetryAfter(text, error.status, float(headers.get("Retry-After", "")))
    except ValueError:
        return Refused(text, error.status)


def _remedy(status: int, words: str) -> str:
    """Say what to do where nobody would guess it."""
    if "no space left on device" in words or "not attempting to open shard" in words:
        return "; make room on its disk, then restart InfluxDB: until then it refuses, full or not"
    if status in (401, 403):
        return "; see INFLUXDB_TOKEN"
    if _NO_BUCKET in words:
        return "; the next start of the flow makes it, or INFLUXDB_TOKEN may not read it"
    if status == 404 and words.startswith("bucket"):
        return "; the next start of the flow makes it"
    return ""


def _words(error: ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        body = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        pass
    return _one_line(body.strip() or error.reason)


def _why(error: BaseException) -> str:
    """Say what went wrong on the way, without the names of the client's parts."""
    if isinstance(error, ProtocolError) and error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    text = _one_line(error)
    text = text.partition("): ")[2] or text or type(error).__name__
    return text.partition(" (read timeout")[0].rstrip(".")


def _one_line(words: object) -> str:
    return " ".join(str(words).split())[:_LONGEST_WORDS]
