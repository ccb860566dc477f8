"""All settings, read once from the environment (and the command line), then passed down."""

import os
import warnings
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsError

from flows.errors import ConfigError, in_our_words
from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS, duration_ms
from flows.secret_files import FOLDER, SecretFiles, secrets_folder
from flows.variables import Variables


class Settings(Variables):
    """The variables, and what follows from them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say what wins: what is given, the environment, files of secrets."""
        assert isinstance(file_secret_settings, SecretsSettingsSource)
        return init_settings, env_settings, SecretFiles(settings_cls, file_secret_settings.secrets_dir)

    @property
    def raw_retention_ms(self) -> int:
        """How long raw readings are kept. [ms]"""
        return duration_ms(self.influxdb_retention)

    @property
    def minute_retention_ms(self) -> int:
        """How long minute rows are kept. [ms]"""
        return 90 * DAY_MS

    @property
    def dead_letter_retention_ms(self) -> int:
        """How long dead letters are kept. [ms]"""
        return 90 * DAY_MS

    @property
    def journal_retention_ms(self) -> int:
        """How long the journal is kept. [ms]"""
        return duration_ms(self.journal_retention)

    @property
    def mqtt_host(self) -> str:
        """Host to connect to."""
        return self.mqtt_broker or "127.0.0.1"

    @property
    def accounts_folder(self) -> Path:
        """Folder of the deployed broker's account files."""
        return Path(self.mqtt_accounts) if self.mqtt_accounts else self.data / "mqtt"

    @property
    def simulator_options(self) -> str:
        """Options by which the simulator finds this broker, each behind a blank; "" where its defaults do."""
        broker = f" --broker {self.mqtt_broker}" if self.mqtt_broker else ""
        by_tls = f" --ca {self.mqtt_ca}" if self.mqtt_ca else ""
        return broker + (f" --port {self.mqtt_port}" if self.mqtt_port != 1883 else "") + by_tls

    @property
    def access_path(self) -> Path:
        """The file of tokens and users."""
        return Path(self.access) if self.access else self.data / "secrets" / "access.json"

    @property
    def store_kind(self) -> Literal["sqlite", "influxdb"]:
        """What the store is, as programs call it."""
        return "influxdb" if self.influxdb_url else "sqlite"

    @property
    def store(self) -> Path | InfluxAddress:
        """Where the store is. Raises ConfigError: INFLUXDB_URL without a token."""
        if not self.influxdb_url:
            return self.store_path
        return InfluxAddress(
            self.influxdb_url,
            self._token(),
            self.influxdb_org,
            self.influxdb_bucket,
            raw_ms=self.raw_retention_ms,
            minute_ms=self.minute_retention_ms,
        )

    @property
    def store_path(self) -> Path:
        """The embedded store's file, whether or not it is the one in use."""
        return self.data / "store.sqlite"

    @property
    def has_store(self) -> bool:
        """Tell whether there may be something to read: an embedded store's file is made by the first start."""
        return bool(self.influxdb_url) or self.store_path.exists()

    def _token(self) -> str:
        path = self.data / "secrets" / "influxdb-token"
        token = self.influxdb_token.get_secret_value().strip()
        token = token or (path.read_text().strip() if path.exists() else "")
        if not token:
            allowed = f"needs a token: give INFLUXDB_TOKEN, or write one into {path} (docs/how-to/influxdb.md)"
            raise ConfigError("INFLUXDB_URL", self.influxdb_url, allowed)
        return checked_token(token)


def checked_token(token: str) -> str:
    """Give back InfluxDB's token if an HTTP header can hold it; http.client would show it in its error.

    Raises ConfigError that does not.
    """
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("INFLUXDB_TOKEN", "…", "must be one line of ASCII characters")
    return token


def load_settings(**given: object) -> Settings:
    """Read the settings; what is given (by field name, None = not given) wins over the environment.

    Raises ConfigError that names the variable, its value and what was allowed.
    """
    options = {_variable(name): value for name, value in given.items() if value is not None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # what pydantic only warns of: a secret that is no file of the folder
            return Settings(_secrets_dir=secrets_folder(), **options)  # type: ignore[arg-type, call-arg]
    except (UserWarning, SettingsError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(FOLDER, os.environ.get(FOLDER), f"cannot be read: {error.__cause__ or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        value = first.get("input")
        if _is_secret(name) or "@" in str(value):  # an address may hold a password
            value = "…"
        option = next((field for field in given if name in options and _variable(field) == name), None)
        name = f"--{option.replace('_', '-')}" if option else name
        raise ConfigError(name, value, in_our_words(first["msg"])) from None


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])


def _is_secret(variable: str) -> bool:
    return any(
        field.annotation is SecretStr and _variable(name) == variable
        for name, field in Settings.model_fields.items()
    )
