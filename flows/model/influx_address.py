"""Where an InfluxDB store is, and what its buckets are called."""

import msgspec

from flows.model.rollup import Resolution

META = "heatpump_meta"
DEFAULT_BUCKET = "sensor_data"


class InfluxAddress(msgspec.Struct, frozen=True):
    """An InfluxDB 2 server, an organisation in it, and the buckets of one installation.

    bucket            : of raw readings; the others are named after it.
    raw_ms, minute_ms : how long raw and minute rows are kept, None: for ever. [ms]
    """

    url: str
    token: str
    org: str = "heatpump"
    bucket: str = DEFAULT_BUCKET
    raw_ms: int | None = None
    minute_ms: int | None = None

    def __str__(self) -> str:
        return f"InfluxDB at {self.url}"

    def __repr__(self) -> str:
        return f"InfluxAddress({self.url!r}, org={self.org!r}, bucket={self.bucket!r})"

    @property
    def meta(self) -> str:
        """Bucket of what outlives raw readings: devices, alerts, episodes, dead letters, commands, the fence."""
        return META if self.bucket == DEFAULT_BUCKET else f"{self.bucket}_meta"

    def rollups(self, resolution: Resolution) -> str:
        """Bucket of rollup rows of a resolution."""
        return f"{self.bucket}_{resolution}"

    @property
    def retentions(self) -> dict[str, int | None]:
        """Every bucket, in the order in which a batch is written, and how long it keeps points. [ms]"""
        return {
            self.bucket: self.raw_ms,
            self.rollups("1m"): self.minute_ms,
            self.rollups("1h"): None,
            self.rollups("1d"): None,
            self.meta: None,
        }
