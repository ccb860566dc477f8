"""ages: how long ago something was, in the words of every page and command."""

from flows.model.times import DAY_MS, HOUR_MS, iso

SECOND_MS, MINUTE_MS = 1_000, 60_000
_STEPS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s"))


def age(ms: int) -> str:
    """Say a span in its largest unit of which there are two, of seconds any: 4 s, 90 s, 23 min, 30 h. [ms]"""
    for length, unit in _STEPS:
        if ms >= 2 * length or unit == "s":
            return f"{max(ms, 0) // length} {unit}"
    raise AssertionError("seconds are the last step")


def clock_time(at: int, now: int) -> str:
    """Say when something was: the time of a day, with its date where a day or more away. [ms since 1970]"""
    text = iso(at)
    return f"{text[11:19]} UTC" if abs(now - at) < DAY_MS else f"{text[:10]} {text[11:19]} UTC"
