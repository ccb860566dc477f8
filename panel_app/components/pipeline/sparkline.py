"""sparkline: a minute of a rate as one line, from 0 up."""

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 120, 20


def sparkline(values: Sequence[float], points: int = 60) -> Markup:
    """Draw the newest `points` values, the newest at the right end; the rate in words stands beside it."""
    drawn = list(values)[-points:]
    top = max(drawn, default=0.0) * 1.15 or 1.0
    step = _WIDTH / max(points - 1, 1)
    left = _WIDTH - step * (len(drawn) - 1)
    path = " ".join(
        f"{left + i * step:.0f},{_HEIGHT - 1 - value / top * (_HEIGHT - 2):.1f}" for i, value in enumerate(drawn)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
        '<polyline points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(_WIDTH, _HEIGHT, path)
