"""Spans of a device's time that wait to be looked at again."""

Span = tuple[int, int]
"""[start, end). [ms since 1970, UTC]"""


def merged(spans: list[Span]) -> list[Span]:
    """Join spans that touch or overlap, oldest first."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
