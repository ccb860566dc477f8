"""text: how the pipeline page writes rates, sizes, values and instants; times are UTC, since sites differ."""

from math import log10
from typing import Any

from flows.model.quantities import BY_NAME
from panel_app.words import NOTHING, instant, number, said, with_unit

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_CLOCKS = {"device": "device clock", "boot": "from its uptime", "arrival": "arrival"}


def per_second(rate: float) -> str:
    """Write a rate: 29.8/s, 1 204/s, 0/s."""
    if rate < 0.005:
        return "0/s"
    return f"{number(rate, 0 if rate >= 99.95 else 1 if rate >= 0.095 else 2)}/s"


def per_second_said(rate: float) -> str:
    """Write a rate to be read aloud: 29.8 per second."""
    return per_second(rate).removesuffix("/s") + " per second"


def size(count: float | None) -> str:
    """Write an amount of data: 412 B, 19.7 kB, 11.9 GB."""
    if count is None:
        return NOTHING
    for step, unit in _SIZES:
        if count >= step:
            return with_unit(number(count / step, 1), unit)
    return with_unit(number(count), "B")


def milliseconds(ms: float | None) -> str:
    """Write a short time: 0.21 ms, 8.6 ms, 1.2 s."""
    if ms is None:
        return NOTHING
    if ms >= 1_000:
        return with_unit(number(ms / 1_000, 1), "s")
    return with_unit(number(ms, 2 if ms < 1 else 1), "ms")


def width(rate: float) -> float:
    """Give the width of an edge, which grows with the logarithm of its rate. [px]"""
    return round(1.0 + min(log10(1.0 + max(rate, 0.0)) * 1.2, 4.0), 1)


def moment(text: str) -> str:
    """Write an instant of the API as a time of day with milliseconds: 14:08:06.912."""
    return text[11:23] if len(text) >= 23 else text[11:19]


def ago(then: str, now_ms: int) -> int:
    """Say how long ago an instant of the API was. [ms]"""
    return max(0, now_ms - instant(then))


def value_text(field: str, value: Any) -> str:
    """Write a value as the store has it: 5 460 W, on, or as it came where it is none of ours."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float) and field in BY_NAME:
        return said(field, float(value))
    return raw_text(value)


def raw_text(value: Any) -> str:
    """Write a value as it came: 32767, −127, "n/a"."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def clock_text(clock: str | None) -> str:
    """Say where an event time came from."""
    return _CLOCKS.get(clock or "", clock or "")


def fields(count: int) -> str:
    """Write a number of fields."""
    return f"{number(count)} field{'' if count == 1 else 's'}"
