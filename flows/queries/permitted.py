"""permitted: the newest of what only some devices may be shown of, as many as were asked for."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

T = TypeVar("T")

FEW = 32
"""So many devices are asked for one by one; of more, all are read and those of others left out."""

AT_FIRST, GROWTH, MOST = 4, 4, 20_000
"""How many times the limit is read at first, how it grows, and where reading one by one is less after all."""


def newest(
    read: Callable[[str | None, int], list[T]],
    device_id: str | None,
    own: Collection[str] | None,
    limit: int,
    device_of: Callable[[T], str],
    age: Callable[[T], Any],
) -> list[T]:
    """List the newest `limit` rows, newest first.

    read      : gives the newest rows of a device, of None those of all, at most so many.
    device_id : only of this device.
    own       : and only of these, None for all.
    age       : what the rows are sorted by, the newest the highest.
    """
    if own is None or device_id is not None:
        return read(device_id, limit) if own is None or device_id in own else []
    if len(own) > FEW:
        asked = limit * AT_FIRST
        while asked <= max(MOST, limit * AT_FIRST):
            found = read(None, asked)
            kept = [row for row in found if device_of(row) in own]
            if len(kept) >= limit or len(found) < asked:
                return kept[:limit]
            asked *= GROWTH
    rows = [row for one in own for row in read(one, limit)]
    return sorted(rows, key=age, reverse=True)[:limit]
