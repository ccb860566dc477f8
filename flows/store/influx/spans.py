"""Which questions bring the rows of some devices and times, and not many others."""

from collections.abc import Iterator, Set

MOST_DEVICES = 100
"""Devices a question names."""

Key = tuple[str, int]
"""Device and time. [ms since 1970, UTC]"""


def spans(keys: Set[Key], step_ms: int, most_rows: int) -> Iterator[tuple[int, int, list[str]]]:
    """Cut what is asked for into questions: (start, end, devices).

    step_ms   : about how far apart a device's rows are.
    most_rows : about how many rows an answer may have, asked for or not.
    """
    start, end = 0, 0
    devices: dict[str, None] = {}
    for device_id, at in sorted(keys, key=lambda key: key[1]):
        many = len(devices) + (device_id not in devices)
        rows = many * ((at - start) // step_ms + 1)
        if devices and (many > MOST_DEVICES or rows > max(most_rows, many)):
            yield start, end, [*devices]
            devices.clear()
        if not devices:
            start = at
        devices[device_id] = None
        end = at + 1
    if devices:
        yield start, end, [*devices]
