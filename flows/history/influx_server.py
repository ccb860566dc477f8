"""A live InfluxDB 2 as source: asked field by field for a span at a time, the token from the environment.

Names from the mapping are bound, not pasted: `v` is an object that goes beside the query's text (see `extern`).
"""

import csv
import os
import re

import httpx

from flows.errors import ConfigError
from flows.history.influx import Choice, Collector, Key, Take, extern, read_annotated
from flows.history.mapping import Influx, Mapping
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.model.history import OLDEST_MS
from flows.model.times import DAY_MS, iso, now_ms

TOKEN = "INFLUXDB_TOKEN"
SPAN_MS = 30 * DAY_MS
ANSWER_S = 60.0

_POINTS = "from(bucket: v.bucket) |> range(start: {start}, stop: {stop}) |> filter(fn: (r) => r._field == v.field"
_TAG = re.compile(r"[\w .:-]+")


def fill(url: str, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the points of a bucket into a spool, by quantity. Raises ConfigError where the server refuses."""
    token = os.environ.get(TOKEN, "")
    if not token:
        raise ConfigError(TOKEN, "", "must hold a token that may read the bucket")
    headers = {"Authorization": f"Token {token}", "Accept": "application/csv"}
    with httpx.Client(base_url=url, headers=headers, timeout=ANSWER_S) as client:
        server = _Server(client, mapping)
        collector = Collector(mapping, tally, spool)
        now = now_ms()
        for field in mapping.fields:
            for start in range(server.first(field, now), now, SPAN_MS):
                server.ask(field, start, min(start + SPAN_MS, now), ")", collector.add, tally)
        collector.close(url)


class _Server:
    def __init__(self, client: httpx.Client, mapping: Mapping) -> None:
        source: Influx = mapping.source
        self._client, self._source, self._choice = client, source, Choice(mapping)
        self._bound, self._filters = {"bucket": source.bucket}, ""
        for number, (name, value) in enumerate(self._choice.asked.items()):
            if not _TAG.fullmatch(name):
                raise ConfigError(
                    f"{mapping.name} [source] tags", name, "is no name of a tag that can be asked for"
                )
            self._filters += f' and r["{name}"] == v.value{number}'
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
        query = _POINTS.format(start=iso(start), stop=iso(stop)) + self._filters + end
        dialect = {"header": True, "annotations": ["group"]}
        body = {"query": query, "extern": extern({**self._bound, "field": field}), "dialect": dialect}
        url = str(self._client.base_url)
        try:
            answer = self._client.post("/api/v2/query", params={"org": self._source.org}, json=body)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise ConfigError("source", url, f"does not answer ({why}): is it running?") from None
        if answer.status_code != 200:
            allowed = (
                f"answers {answer.status_code}: {answer.text[:300]}; see {TOKEN}, and org and bucket of [source]"
            )
            raise ConfigError("source", url, allowed)
        read_annotated(csv.reader(answer.text.splitlines()), self._choice, take, tally, url)
