"""Options that several commands share. Without one, its setting in the environment holds."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option(help="Folder that holds all state; else HEATPUMP_DATA, else ./data.")]
MqttPort = Annotated[int | None, typer.Option(help="Port of MQTT; else MQTT_PORT, else 1883.")]
ApiPort = Annotated[int | None, typer.Option(help="Port of the API; else HEATPUMP_API_PORT, else 8000.")]
