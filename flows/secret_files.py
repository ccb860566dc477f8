"""Settings in files that are named after variables, as Docker, Kubernetes and systemd mount secrets."""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import SecretsSettingsSource

from flows.errors import ConfigError

FOLDER = "HEATPUMP_SECRETS"


class SecretFiles(SecretsSettingsSource):
    """The files; an empty one counts as not there, as an empty variable does."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Read the value of a setting, without blanks and line ends around it."""
        value, key, is_complex = super().get_field_value(field, field_name)
        return value or None, key, is_complex


def secrets_folder() -> Path | None:
    """Give the folder, None where none is named. Raises ConfigError where it is none."""
    named = os.environ.get(FOLDER)
    if not named:
        return None
    if not Path(named).is_dir():
        raise ConfigError(FOLDER, named, "is no folder; it must hold files named after variables, or be unset")
    return Path(named)
