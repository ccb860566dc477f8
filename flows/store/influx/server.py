"""One InfluxDB server: writes, questions, deletions, buckets, and what its refusals mean.

Everything raises our errors, with InfluxDB's own words in them:
RetryableStoreError  it is away, starting, overloaded, full, or refuses who asks (401, 404): wait, lose nothing
RowRefused           one of the lines can never be stored (400, 422)
StoreError           it does not understand the request: a fault of ours
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from influxdb_client import Dialect, InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from flows.errors import RetryableStoreError, RowRefused, StoreError
from flows.store.influx.address import InfluxAddress
from flows.store.influx.answers import Block, blocks

WRITE_TIMEOUT_MS = 30_000
QUERY_TIMEOUT_MS = 20_000

_PLAIN = Dialect(header=True, annotations=[], delimiter=",", date_time_format="RFC3339")
_GZIP = 16 + zlib.MAX_WBITS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OUTSIDE_RETENTION = "outside retention policy"
"""What InfluxDB says of points that it dropped because they are too old for the bucket."""


class OutsideRetention(RowRefused):
    """Some lines are older than what the bucket keeps: those were dropped, the others are stored."""


class RetryAfter(RetryableStoreError):
    """Something between us and the server asks to wait. seconds: how long."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class InfluxServer:
    """A connection, shared by threads."""

    def __init__(self, address: InfluxAddress) -> None:
        self.address = address
        self.client = InfluxDBClient(
            address.url, address.token, org=address.org, timeout=QUERY_TIMEOUT_MS, retries=False
        )
        self._writes = WriteService(self.client.api_client)
        self._questions = self.client.query_api()
        self._deletions = self.client.delete_api()

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        """Store lines of line protocol durably: what a return promises survives kill -9 and power loss.

        Raises RetryableStoreError, OutsideRetention, RowRefused.
        """
        squeeze = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        body = squeeze.compress(lines) + squeeze.flush()
        with self.speaking(f"write into {bucket}"):
            self._writes.post_write(
                org=self.address.org,
                bucket=bucket,
                body=body,
                precision=precision,
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
                _request_timeout=WRITE_TIMEOUT_MS,
            )

    def ask(self, flux: str, **bound: Any) -> Iterator[Block]:
        """Ask a question in Flux; `p_name` in its text is the value bound to `name`.

        bound : text, numbers, flags, datetimes (see `moment`) and lists of these: never part of the text.
        Raises RetryableStoreError, StoreError.
        """
        with self.speaking("read"):
            values = {f"p_{name}": value for name, value in bound.items()}
            text = self._questions.query_raw(flux, dialect=_PLAIN, params=values).data.decode()
        yield from blocks(text)

    def delete(self, bucket: str, predicate: str, start: int, end: int) -> None:
        """Delete points in [start, end) [ms] that a predicate names; it may hold no text but tags of `tag_of`."""
        with self.speaking(f"delete from {bucket}"):
            self._deletions.delete(
                moment(start), moment(end) - timedelta(microseconds=1), predicate, bucket, self.address.org
            )

    def close(self) -> None:
        """Let connections go; safe to call twice."""
        self.client.close()

    @contextmanager
    def speaking(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into our errors. doing: "write into sensor_data"."""
        where = f"InfluxDB at {self.address.url}"
        try:
            yield
        except ApiException as error:
            raise _meaning(f"{where} refuses to {doing}", error) from None
        except (HTTPError, OSError) as error:
            why = str(getattr(error, "reason", None) or error) or type(error).__name__
            raise RetryableStoreError(f"{where} does not answer: {why}") from None


def moment(ms: int) -> datetime:
    """A time to bind in a question. ms: [ms since 1970, UTC]"""
    return _EPOCH + timedelta(milliseconds=ms)


def _meaning(doing: str, error: ApiException) -> StoreError:
    words = _words(error)
    text = f"{doing}: {error.status} {words}"
    if (error.status in (400, 422) and "to write" in doing) or error.status == 413:
        return OutsideRetention(text) if OUTSIDE_RETENTION in words else RowRefused(text)
    if error.status in (401, 403, 404, 429) or error.status >= 500:
        try:
            return RetryAfter(text, float((error.headers or {}).get("Retry-After", "")))
        except ValueError:
            return RetryableStoreError(text)
    return StoreError(text)


def _words(error: ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.strip() or str(error.reason)
