"""What can never be stored is refused before anything of its batch is written."""

from collections.abc import Iterable

from flows.errors import RowRefused
from flows.model.quantities import BY_NAME
from flows.model.rows import RawRow, StoreItem

END_OF_TIME = 1 << 43
"""No row is at or after it, as in the embedded store. [ms since 1970, UTC]"""

MOST_ORDER = 1 << 53
"""Orders are floats in InfluxDB: whole numbers up to this one are told apart."""


def check(items: Iterable[StoreItem]) -> None:
    """Raises RowRefused that names the item that can never be stored, and why."""
    known = BY_NAME.keys()
    for item in items:
        if type(item) is RawRow:
            if not item.values.keys() <= known:
                column = min(item.values.keys() - known)
                raise RowRefused(f"{column!r} is no column of {'raw'}: quantities.py does not know it")
            if not 0 <= item.at < END_OF_TIME:
                raise RowRefused(f"event time {item.at} is not between 0 and {END_OF_TIME}")
        order = getattr(item, "order", 0)
        if order > MOST_ORDER:
            raise RowRefused(f"order {order} is more than {MOST_ORDER}")
        device_id = getattr(item, "device_id", "")
        if not device_id.isascii():
            try:
                device_id.encode()
            except UnicodeEncodeError:
                raise RowRefused(f"device id {device_id!r} is no text") from None
