"""A live InfluxDB 2 as source: asked for a span at a time, parameters bound, the token from the environment."""

import csv
import os
from datetime import UTC, datetime, timedelta

import httpx

from flows.errors import ConfigError
from flows.history.influx import Collector, extern, read_annotated
from flows.history.mapping import Influx, Mapping
from flows.history.spool import Spool
from flows.history.tally import Tally

TOKEN = "INFLUXDB_TOKEN"
SPAN = timedelta(days=30)
ANSWER_S = 60.0

_FIRST = (
    "from(bucket: v.bucket) |> range(start: 0)"
    " |> filter(fn: (r) => contains(value: r._field, set: v.fields)){filters}"
    ' |> first() |> keep(columns: ["_time"])'
)
_POINTS = (
    "from(bucket: v.bucket) |> range(start: time(v: v.start), stop: time(v: v.stop))"
    " |> filter(fn: (r) => contains(value: r._field, set: v.fields)){filters}"
)


def fill(url: str, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the points of a bucket into a spool, by quantity. Raises ConfigError where the server refuses."""
    source: Influx = mapping.source
    token = os.environ.get(TOKEN, "")
    if not token:
        raise ConfigError(TOKEN, "", "must hold a token that may read the bucket")
    bound: dict[str, object] = {
        "bucket": source.bucket,
        "fields": mapping.fields,
        "measurement": source.measurement,
        **_tags(source),
    }
    filters = " |> filter(fn: (r) => r._measurement == v.measurement)" if source.measurement else ""
    filters += "".join(
        f" |> filter(fn: (r) => r[v.tag{number}] == v.value{number})" for number in range(len(source.tags))
    )
    collector = Collector(mapping, tally, spool)
    headers = {"Authorization": f"Token {token}", "Accept": "application/csv"}
    with httpx.Client(base_url=url, headers=headers, timeout=ANSWER_S) as client:
        rows = csv.reader(_ask(client, source, _FIRST.format(filters=filters), bound).splitlines())
        starts = [row[-1] for row in rows if row and row[-1][:1].isdigit()]
        start = datetime.fromisoformat(min(starts)) if starts else datetime.now(UTC)
        now = datetime.now(UTC)
        while start < now:
            span = {"start": _flux(start), "stop": _flux(min(start + SPAN, now))}
            text = _ask(client, source, _POINTS.format(filters=filters), {**bound, **span})
            read_annotated(csv.reader(text.splitlines()), source, collector, url)
            start += SPAN
    collector.close()


def _tags(source: Influx) -> dict[str, str]:
    bound: dict[str, str] = {}
    for number, (name, value) in enumerate(source.tags.items()):
        bound[f"tag{number}"], bound[f"value{number}"] = name, value
    return bound


def _ask(client: httpx.Client, source: Influx, query: str, bound: dict[str, object]) -> str:
    body = {"query": query, "extern": extern(bound), "dialect": {"header": True, "annotations": []}}
    try:
        answer = client.post("/api/v2/query", params={"org": source.org}, json=body)
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        raise ConfigError("source", str(client.base_url), f"does not answer ({why}): is it running?") from None
    if answer.status_code != 200:
        allowed = f"answers {answer.status_code}: {answer.text[:300]}; see {TOKEN}, and org and bucket of [source]"
        raise ConfigError("source", str(client.base_url), allowed)
    return answer.text


def _flux(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
