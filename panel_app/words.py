"""Numbers, spans and times as people read them, the same on every page and chart."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor, isfinite
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flows.model.quantities import BY_NAME

THIN = "\u2009"
MINUS = "\u2212"
NOTHING = "–"
_NBSP = "\u00a0"

Zone = ZoneInfo | str
"""A site's time zone, or its IANA name."""

_DECIMALS = {"°C": 1, "K": 1, "V": 1, "A": 1, "W": 0, "kWh": 1, "L/min": 1, "bar": 1, "psi": 0, "Hz": 1, "": 2}
_SHOWN_UNITS = {"psi": "PSI"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def number(value: float | None, decimals: int = 0) -> str:
    """Write a number with a thin space between thousands and a true minus; a dash where there is none."""
    if value is None or not isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{decimals}f}".replace(",", THIN)
    is_zero = not any(digit in "123456789" for digit in text)
    return text if value >= 0 or is_zero else MINUS + text


def plain(value: float) -> str:
    """Write a number of which neither quantity nor unit is known: as it was sent, with a true minus."""
    return f"{value:g}".replace("-", MINUS)


def signed(value: float, decimals: int = 0) -> str:
    """Write a difference: +9, −0.10, ±0."""
    text = number(value, decimals)
    if not any(digit in "123456789" for digit in text):
        return "±0"
    return text if text.startswith(MINUS) else "+" + text


def decimals_of(field: str, value: float) -> int:
    """Say how many decimals of a quantity are worth showing; a counter beyond 1 000 kWh has none."""
    quantity = BY_NAME.get(field)
    unit = quantity.unit if quantity else ""
    return 0 if unit == "kWh" and abs(value) >= 1_000 else _DECIMALS.get(unit, 1)


def unit_of(field: str) -> str:
    """Give the unit as it is shown."""
    quantity = BY_NAME.get(field)
    return _SHOWN_UNITS.get(quantity.unit, quantity.unit) if quantity else ""


def value_of(field: str, value: float | None) -> str:
    """Write a quantity's value without its unit."""
    return NOTHING if value is None else number(value, decimals_of(field, value))


def with_unit(text: str, unit: str) -> str:
    """Join a number and its unit so that they never part."""
    return f"{text}{_NBSP}{unit}" if unit else text


def said(field: str, value: float | None) -> str:
    """Write a quantity's value with its unit: 32.8 °C."""
    return with_unit(value_of(field, value), unit_of(field))


def limit(field: str, value: float) -> str:
    """Write a limit with its unit; as short as it is: 95 °C, 1.5 bar."""
    text = number(value, decimals_of(field, value))
    return with_unit(text.rstrip("0").rstrip(".") if "." in text else text, unit_of(field))


def shortened(text: str, most: int = 160) -> str:
    """Cut what others wrote to a length that a line can bear."""
    return text if len(text) <= most else text[:most].rstrip() + "…"


def age(ms: float) -> str:
    """Write how long ago, in the largest unit that fits: 4 s, 6 min, 5 h, 3 d. A clock ahead of ours is 0 s."""
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if ms >= length:
            return with_unit(number(ms // length), unit)
    return with_unit(number(max(ms, 0) // _SECOND), "s")


def lasting(ms: float) -> str:
    """Write a length of time in at most two units: 45 s, 17 min, 2 h 5 min, 3 d 4 h."""
    units = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"))
    for length, unit, smaller, smaller_unit in units:
        if ms >= length:
            rest = ms % length // smaller
            whole = with_unit(number(ms // length), unit)
            return f"{whole} {with_unit(number(rest), smaller_unit)}" if rest else whole
    return age(ms)


def percent(share: float) -> str:
    """Write a share; 100 % only where nothing is missing: 99.97 % is 99.9 %."""
    if share >= 1.0:
        return with_unit("100", "%")
    tenths = floor(max(share, 0.0) * 1_000) / 10
    return with_unit(number(tenths, 1), "%")


def adding(parts: Sequence[float], decimals: int) -> list[float]:
    """Round parts so that they add up to their rounded sum (largest remainder).

    Where rounding each by itself misses the sum, those that lose least by it give way.
    """
    step = 10**decimals
    scaled = [part * step for part in parts]
    rounded = [floor(part) for part in scaled]
    missing = round(sum(scaled)) - sum(rounded)
    by_remainder = sorted(range(len(parts)), key=lambda i: scaled[i] - rounded[i], reverse=True)
    for i in by_remainder[:missing]:
        rounded[i] += 1
    return [part / step for part in rounded]


def instant(text: str) -> int:
    """Read an instant of the API. [ms since 1970, UTC]"""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def zone_of(name: object) -> ZoneInfo:
    """Find a time zone by its IANA name; UTC where there is none of that name."""
    if isinstance(name, ZoneInfo):
        return name
    try:
        return ZoneInfo(str(name or "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def at(ms: int, zone: Zone) -> datetime:
    """Place an instant in a site's day."""
    return datetime.fromtimestamp(ms / 1_000, UTC).astimezone(zone_of(zone))


def clock(ms: int, zone: Zone, seconds: bool = False) -> str:
    """Write a time of day: 14:08 or 14:08:07."""
    return at(ms, zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def day(ms: int, zone: Zone) -> str:
    """Write a day: Tue 10 Feb."""
    then = at(ms, zone)
    return f"{_DAYS[then.weekday()]} {then.day} {_MONTHS[then.month - 1]}"


def month(ms: int, zone: Zone) -> str:
    """Write a month: Feb 2026."""
    then = at(ms, zone)
    return f"{_MONTHS[then.month - 1]} {then.year}"


def when(ms: int, now_ms: int, zone: Zone, seconds: bool = False) -> str:
    """Write an instant as shortly as today allows: 14:08, Mon 9 Feb 14:08, 9 Feb 2024 14:08."""
    then, today = at(ms, zone), at(now_ms, zone)
    time = clock(ms, zone, seconds)
    if then.date() == today.date():
        return time
    if abs(now_ms - ms) < 300 * _DAY:
        return f"{day(ms, zone)} {time}"
    return f"{then.day} {_MONTHS[then.month - 1]} {then.year} {time}"
