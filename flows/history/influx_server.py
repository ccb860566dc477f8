"""A live InfluxDB 2 as source: asked field by field for a span at a time, the token from the environment."""

import csv
import os
import re
from contextlib import closing

from flows.errors import ConfigError, StoreError
from flows.history.influx import Choice, Collector, Key, Take, read_annotated
from flows.history.mapping import Influx, Mapping
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.model.history import OLDEST_MS
from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS, now_ms
from flows.settings import checked_token
from flows.store.influx.server import InfluxServer, moment

TOKEN = "INFLUXDB_TOKEN"
SPAN_MS = 30 * DAY_MS
ANSWER_MS = 60_000

_POINTS = "from(bucket: p_bucket) |> range(start: p_start, stop: p_stop) |> filter(fn: (r) => r._field == p_field"
_TAG = re.compile(r"[\w .:-]+")


def fill(url: str, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the points of a bucket into a spool, by quantity. Raises ConfigError where the server refuses."""
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(TOKEN, "", "must hold a token that may read the bucket")
    source: Influx = mapping.source
    address = InfluxAddress(url, checked_token(token), source.org, source.bucket)
    with closing(InfluxServer(address, ANSWER_MS)) as server:
        asker = _Asker(server, mapping)
        collector = Collector(mapping, tally, spool)
        now = now_ms()
        for field in mapping.fields:
            for start in range(asker.first(field, now), now, SPAN_MS):
                asker.ask(field, start, min(start + SPAN_MS, now), ")", collector.add, tally)
        collector.close(url)


class _Asker:
    def __init__(self, server: InfluxServer, mapping: Mapping) -> None:
        self._server, self._choice = server, Choice(mapping)
        self._bound, self._filters = {"bucket": server.address.bucket}, ""
        for number, (name, value) in enumerate(self._choice.asked.items()):
            if not _TAG.fullmatch(name):
                raise ConfigError(
                    f"{mapping.name} [source] tags", name, "is no name of a tag that can be asked for"
                )
            self._filters += f' and r["{name}"] == p_value{number}'
            self._bound[f"value{number}"] = value

    def first(self, field: str, now: int) -> int:
        """Ask when the points of a field begin; `now` where there are none. [ms since 1970, UTC]"""
        times = [now]

        def take(_field: str, at: int, _text: str, _series: Key, _time: str) -> None:
            times.append(at)

        self.ask(field, OLDEST_MS, now, ") |> first()", take, Tally())
        return min(times)

    def ask(self, field: str, start: int, stop: int, end: str, take: Take, tally: Tally) -> None:
        """Ask for the points of a field in a span. end: of the query, closes the filter."""
        span = {"start": moment(start), "stop": moment(stop)}
        url = self._server.address.url
        try:
            text = self._server.text(
                _POINTS + self._filters + end, grouped=True, field=field, **self._bound, **span
            )
        except StoreError as error:
            raise ConfigError(
                "source", url, f"{error} (the token is {TOKEN}'s, org and bucket are those of [source])"
            ) from None
        read_annotated(csv.reader(text.splitlines()), self._choice, take, tally, url)
