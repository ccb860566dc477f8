"""sinks: where the pipe and its side ports lead: store, live, dead letters, and any other that a graph names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from panel_app.components.pipeline.samples import Sample, rate, rates
from panel_app.components.pipeline.sparkline import sparkline
from panel_app.components.pipeline.text import ago, milliseconds, per_second
from panel_app.words import clock, day, instant, lasting, number

END = "end"
"""The sink where a pipe ends: nothing is there."""

_KINDS = {"sqlite": "SQLite", "influxdb": "InfluxDB"}


class SinkCard(msgspec.Struct, frozen=True):
    """A sink as it is drawn. why: the reason for which it waits, "" while it does not."""

    name: str
    kind: str
    pace: str
    rows: tuple[tuple[str, str], ...]
    brief: str
    spark: Markup | None = None
    why: str = ""


def store(answer: Mapping[str, Any], samples: Sequence[Sample]) -> SinkCard:
    """Make the store's card; while it waits it says why, since when, and when it tries again."""
    told, now = answer["store"], answer["at"]
    rows = [("stored", number(told["stored"])), ("open batch", number(told["open"]))]
    why = ""
    if told["waiting"]:
        since = clock(instant(told["waiting_since"]), "UTC", seconds=True)
        why = f"{told['waiting']} since {since}"
        tries = number(told["attempts"])
        wait = max(0, instant(told["next_try"]) - now) if told["next_try"] else 0
        rows += [
            ("fence", f"{number(told['fence_behind'])} behind"),
            ("attempt", f"{tries}, next in {lasting(wait)}" if wait >= 1_000 else f"{tries}, next now"),
        ]
    else:
        rows += [
            ("rows written", number(told["done"])),
            ("batch p99", milliseconds(told["p99_ms"])),
            ("fence", f"{number(told['fence_behind'])} behind"),
            ("unchanged", number(told["unchanged"])),
            ("dead by store", number(told["refused"])),
        ]
    return SinkCard(
        "store",
        _KINDS.get(told.get("kind", ""), told.get("kind", "")),
        per_second(rate(samples, "store")),
        tuple(rows),
        why or f"batch p99 {milliseconds(told['p99_ms'])}, fence {number(told['fence_behind'])} behind",
        sparkline(rates(samples, "store")),
        why,
    )


def live(answer: Mapping[str, Any], samples: Sequence[Sample]) -> SinkCard:
    """Make the card of what is published."""
    told = answer["live"]
    clients = told.get("clients")
    rows = [("sent, ≤ 10 s old", number(told["done"]))]
    if clients is not None:
        rows.append(("WebSocket clients", number(clients)))
    return SinkCard(
        "live",
        "MQTT and WebSocket",
        per_second(rate(samples, "live", told["rate"])),
        tuple(rows),
        f"{number(clients)} client{'' if clients == 1 else 's'}" if clients is not None else "",
    )


def others(answer: Mapping[str, Any]) -> list[SinkCard]:
    """Make cards of sinks that this page knows nothing else of: what feeds them."""
    feeds: dict[str, list[str]] = {}
    for node in answer["nodes"]:
        for port, names in node["sinks"].items():
            for name in names:
                feeds.setdefault(name, []).append(f"{node['step']}.{port}")
    return [
        SinkCard(name, "", "", tuple(("from", port) for port in ports), ", ".join(ports))
        for name, ports in feeds.items()
        if name not in ("store", "live", END)
    ]


def newest_letter(answer: Mapping[str, Any]) -> str:
    """Say when the newest dead letter that is open came: 13:41, Mon 9 Feb, or that none is."""
    newest = (answer.get("dead_letters") or {}).get("newest")
    if newest is None:
        return "none open"
    if ago(newest, answer["at"]) < 86_400_000:
        return f"newest open {clock(instant(newest), 'UTC')}"
    return f"newest open {day(instant(newest), 'UTC')}"


def dead_reasons(answer: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Count dead letters since the start, and of each reason, the most first."""
    counts: Counter[str] = Counter()
    for node in answer["nodes"]:
        counts.update(node["dead"])
    return number(counts.total()), tuple((reason, number(count)) for reason, count in counts.most_common(8))
