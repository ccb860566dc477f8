"""groups: which group each device is in now, as its metadata says."""

import threading
import time

from flows.model.device import metadata_at
from flows.model.times import now_ms
from flows.store.protocol import StoreReader

FRESH_S = 1.0
"""How long a table of all devices is used again; ten times as long as it took to read, if that is more. [s]"""


class Groups:
    """Asks the store. Every method may raise StoreError: then nobody is let in by a group."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader, self._lock = reader, threading.Lock()
        self._table: dict[str, str] = {}
        self._until = 0.0

    def of(self, device_id: str) -> str:
        """Give a device's group as it is this moment; "" of one that is not known."""
        device = self._reader.device(device_id)
        return metadata_at(device.metadata, now_ms()).group if device is not None else ""

    def table(self) -> dict[str, str]:
        """Give the group of every known device, at most a moment old."""
        with self._lock:
            begun = time.monotonic()
            if begun >= self._until:
                now = now_ms()
                devices = self._reader.devices(with_latest=False)
                self._table = {each.device_id: metadata_at(each.metadata, now).group for each in devices}
                took = time.monotonic() - begun
                self._until = begun + took + max(FRESH_S, 10 * took)
            return self._table

    def changed(self) -> None:
        """Read the table anew next time: a device's group was changed here."""
        self._until = 0.0
