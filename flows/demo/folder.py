"""What a data folder says of the demo, and which folder may have it."""

from contextlib import closing
from pathlib import Path

from flows.errors import ConfigError
from flows.settings import Settings
from flows.store import open_reader


def note_of(data: Path) -> Path:
    """Where a data folder says that it has the demo, and since when."""
    return data / "demo.json"


def loaded_mark(data: Path) -> Path:
    """A file that is there while everything is loaded and lives."""
    return data / "run" / "demo-loaded"


def check_folder(settings: Settings) -> None:
    """Refuse a folder with devices of its own: the demo must not mix with them. Raises ConfigError, StoreError."""
    if note_of(settings.data).exists() or not settings.has_store:
        return
    with closing(open_reader(settings.store)) as reader:
        own = [device.device_id for device in reader.devices(with_latest=False)]
    if own:
        named = ", ".join(own[:3] + ["…"] * (len(own) > 3))
        allowed = f"has devices of its own ({named}), and the demo's would come between them for ever"
        if settings.influxdb_url:
            raise ConfigError(
                "demo", settings.influxdb_bucket, f"{allowed}; give it another bucket, with INFLUXDB_BUCKET"
            )
        raise ConfigError(
            "demo", str(settings.data), f"{allowed}; give it another folder, such as --data demo-data"
        )
