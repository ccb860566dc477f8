"""flags: since when a device's flags are as they are, as far as the series seen can tell."""

from flows.model.quantities import FLAGS
from panel_app.components.device import HOLD_MS, Answer, flag
from panel_app.words import instant


def flags_since(status: Answer, series: Answer) -> dict[str, int]:
    """Find when each flag became what it is now. [ms since 1970, UTC]

    series : answer of /series with the flags among its fields, raw or of 1m.
    A flag whose change lies before the span, or behind a silence of more than 900 s, is left out: it is not known.
    """
    times = [instant(text) for text in series.get("time", [])]
    found = {}
    for name in FLAGS:
        newest = flag(status, name)
        held = series.get("values", {}).get(name)
        if newest is None or not isinstance(held, list):
            continue
        since = _change(times, held, newest)
        if since is not None:
            found[name] = since
    return found


def _change(times: list[int], held: list[bool | float | None], newest: bool) -> int | None:
    """Walk back to the last point that says otherwise; the one after it is where it became so."""
    became: int | None = None
    for time, point in zip(reversed(times), reversed(held), strict=True):
        if became is not None and became - time > HOLD_MS:
            return None
        if point is None:
            continue
        if float(point) != float(newest):
            # Of a minute that is partly so, nothing finer is known than the minute itself.
            return time if 0.0 < float(point) < 1.0 else became
        became = time
    return None
