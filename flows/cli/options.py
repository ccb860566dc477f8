"""Options that several commands share. Without one, its setting in the environment holds."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.errors import ConfigError

Data = Annotated[Path | None, typer.Option(help="Folder that holds all state; else HEATPUMP_DATA, else ./data.")]
MqttPort = Annotated[int | None, typer.Option(help="Port of MQTT; else MQTT_PORT, else 1883.")]
ApiPort = Annotated[int | None, typer.Option(help="Port of the API; else HEATPUMP_API_PORT, else 8000.")]
AskedPort = Annotated[
    int | None, typer.Option("--api-port", help="Port of the API; else that of `up`, HEATPUMP_API_PORT or 8000.")
]
"""Of commands that ask the API: what `up` runs on the data folder is found by itself."""
PanelPort = Annotated[int | None, typer.Option(help="Port of the pages; else HEATPUMP_PANEL_PORT, else 5006.")]


def checked_device(option: str, text: str) -> str:
    """Give back what an option names if it can be a device. Raises ConfigError."""
    from flows.model.device import DEVICE_ID

    if not DEVICE_ID.fullmatch(text):
        raise ConfigError(option, text, "must be 1 to 64 letters, digits, _ . or -, not _ . - first")
    return text


def check_readable(name: str, path: Path) -> None:
    """Look whether a file can be read before anything else is done. Raises ConfigError."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(name, str(path), f"cannot be read: {error.strerror}") from None


def make_private(data: Path) -> None:
    """Make the data folder; what this process and its children write is for their user alone.

    Raises ConfigError where there can be no such folder.
    """
    os.umask(0o077)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        allowed = f"cannot be the data folder ({error.strerror}); name one that this user may make or write"
        raise ConfigError("--data", str(data), f"{allowed}, with --data or HEATPUMP_DATA") from None
