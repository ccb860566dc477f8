"""Every variable that can be set: its unit, its default, what is allowed."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from flows.model.influx_address import DEFAULT_BUCKET
from flows.model.times import DAY_MS, duration_ms
from flows.secret_files import FOLDER

Port = Annotated[int, Field(ge=1, le=65535)]
PortOrNone = Annotated[int, Field(ge=0, le=65535)]

SHORTEST_TOKEN = 16
"""Characters of a token that others may have chosen."""


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Variables(BaseSettings):
    """All variables: each with its unit, default and one sentence."""

    # Not populate_by_name: a variable LAN, or the API_PORT that Kubernetes makes for a service, would be taken.
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    data: Path = Field(
        Path("data"), validation_alias=_named("HEATPUMP_DATA"), description="Folder that holds all state."
    )
    mqtt_broker: str = Field(
        "",
        validation_alias=_named("MQTT_BROKER"),
        description="Host of an MQTT broker; empty: start our own.",
    )
    mqtt_port: Port = Field(
        1883,
        validation_alias=_named("MQTT_PORT", "HEATPUMP_MQTT_PORT"),
        description="Port of the MQTT broker.",
    )
    mqtt_ws_port: Port = Field(
        9001, validation_alias=_named("HEATPUMP_MQTT_WS_PORT"), description="MQTT over WebSocket, own broker."
    )
    mqtt_user: str = Field(
        "heatpump",
        validation_alias=_named("MQTT_USER"),
        description="MQTT user, sent where a password is set.",
    )
    mqtt_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("MQTT_PASSWORD"),
        description="MQTT password; empty: none is sent.",
    )
    mqtt_ca: str = Field(
        "",
        validation_alias=_named("HEATPUMP_MQTT_CA"),
        description="File of the CA that signed the broker's certificate: MQTT over TLS; empty: without.",
    )
    mqtt_flow_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_MQTT_FLOW_PASSWORD"),
        description="For `heatpump accounts sync`: the password of heatpump-flow, which is MQTT_USER of the flow.",
    )
    mqtt_api_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_MQTT_API_PASSWORD"),
        description="For `heatpump accounts sync`: the password of heatpump-api, which is MQTT_USER of the API.",
    )
    mqtt_health_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_MQTT_HEALTH_PASSWORD"),
        description="For `heatpump accounts sync`: the password of heatpump-health,"
        " by which the broker is probed.",
    )
    mqtt_accounts: str = Field(
        "",
        validation_alias=_named("HEATPUMP_MQTT_ACCOUNTS"),
        description="Folder of the deployed Mosquitto's account files; empty: mqtt in the data folder.",
    )
    mqtt_log: str = Field(
        "",
        validation_alias=_named("HEATPUMP_MQTT_LOG"),
        description="The deployed Mosquitto's log of who connects; empty: not known.",
    )
    mqtt_address: str = Field(
        "",
        validation_alias=_named("HEATPUMP_MQTT_ADDRESS"),
        description="Host, or host:port, at which devices reach the broker: for what they are told.",
    )
    mqtt_client_id: str = Field(
        "heatpump-flow",
        validation_alias=_named("HEATPUMP_MQTT_CLIENT_ID"),
        description="Client id of ingest; the broker keeps unread messages under it, so never change it in use.",
    )
    mqtt_reader: Literal["bulk", "stock"] = Field(
        "bulk",
        validation_alias=_named("HEATPUMP_MQTT_READER"),
        description="How ingest reads from the broker: bulk, or stock (paho's own reader, several times the CPU).",
    )
    api_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("HEATPUMP_API_HOST"),
        description="Address the API listens on; beyond loopback it demands a token or a login.",
    )
    api_port: Port = Field(8000, validation_alias=_named("HEATPUMP_API_PORT"), description="Port of the API.")
    api_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_API_TOKEN"),
        description="Token of the API that may do all; empty: generated into the data folder where one is needed.",
    )
    api_origins: str = Field(
        "",
        validation_alias=_named("HEATPUMP_API_ORIGINS"),
        description="Web origins beside the API's own that may open its WebSocket, separated by commas.",
    )
    access: str = Field(
        "",
        validation_alias=_named("HEATPUMP_ACCESS"),
        description="File of tokens and users; empty: secrets/access.json in the data folder.",
    )
    session_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_SESSION_KEY"),
        description="Key that signs sessions, the same of all API processes; empty: made in the data folder.",
    )
    api_url: str = Field(
        "",
        validation_alias=_named("HEATPUMP_API_URL"),
        description="Where the pages find the API, such as http://backend:8000; empty: at its address and port.",
    )
    panel_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("HEATPUMP_PANEL_HOST"),
        description="Address the pages listen on; beyond loopback they are shown only to who is logged in.",
    )
    panel_port: Port = Field(
        5006, validation_alias=_named("HEATPUMP_PANEL_PORT"), description="Port of the analytics pages."
    )
    panel_origins: str = Field(
        "",
        validation_alias=_named("HEATPUMP_PANEL_ORIGINS"),
        description="Web origins of the pages where a proxy does not hand on the Host, separated by commas.",
    )
    secrets: str = Field(
        "",
        validation_alias=_named(FOLDER),
        description="Folder of files that are named after variables and hold their values; the environment wins.",
    )
    command_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("HEATPUMP_COMMAND_HOST"),
        description="Address the flow's command port listens on; beyond loopback only in a network of its own.",
    )
    command_port: PortOrNone = Field(
        0,
        validation_alias=_named("HEATPUMP_COMMAND_PORT"),
        description="Private port of the flow for commands; 0: any free one.",
    )
    command_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_COMMAND_TOKEN"),
        description="Token of the command port; empty: generated into the data folder.",
    )
    flow_url: str = Field(
        "",
        validation_alias=_named("HEATPUMP_FLOW_URL"),
        description="The flow's command port, such as http://flow:8700; empty: found by the data folder.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("HEATPUMP_METRICS_HOST"),
        description="Address the flow's metrics port listens on.",
    )
    metrics_port: PortOrNone = Field(
        0,
        validation_alias=_named("HEATPUMP_METRICS_PORT"),
        description="Port of the flow's metrics and probes; 0: none.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("HEATPUMP_METRICS_TOKEN"),
        description="Bearer token of all metrics; empty: generated into the data folder.",
    )
    lan: bool = Field(
        False,
        validation_alias=_named("HEATPUMP_LAN"),
        description="Open MQTT to the local network, with a generated password.",
    )
    influxdb_url: str = Field(
        "",
        validation_alias=_named("INFLUXDB_URL"),
        description="InfluxDB 2 as the store, such as http://127.0.0.1:8086; empty: SQLite in the data folder.",
    )
    influxdb_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("INFLUXDB_TOKEN"),
        description="API token of InfluxDB; empty: the data folder's secrets/influxdb-token.",
    )
    influxdb_org: str = Field(
        "heatpump", validation_alias=_named("INFLUXDB_ORG"), description="Organisation in InfluxDB."
    )
    influxdb_bucket: str = Field(
        DEFAULT_BUCKET,
        validation_alias=_named("INFLUXDB_BUCKET"),
        description="Bucket of raw readings; the others are named after it.",
    )
    influxdb_user: str = Field(
        "",
        validation_alias=_named("INFLUXDB_USER"),
        description="For who sets InfluxDB up, such as a compose file; we never log in by it.",
    )
    influxdb_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("INFLUXDB_PASSWORD"),
        description="As INFLUXDB_USER: not used by us.",
    )
    influxdb_retention: str = Field(
        "30d", validation_alias=_named("INFLUXDB_RETENTION"), description="How long raw readings are kept."
    )
    online_timeout_s: int = Field(
        120,
        ge=1,
        le=86_400,
        validation_alias=_named("DEVICE_ONLINE_TIMEOUT_SECONDS"),
        description="A device is online if it sent a reading within this time. [s]",
    )
    offline_ticks: int = Field(
        600,
        ge=5,
        le=86_400,
        validation_alias=_named("HEATPUMP_OFFLINE_TICKS"),
        description="Journaled seconds without a reading after which a device counts as offline. [s]",
    )
    epoch_ms: int = Field(
        5_000,
        ge=100,
        le=60_000,
        validation_alias=_named("HEATPUMP_EPOCH_MS"),
        description="How often the pipeline's state is saved; acknowledgements do not wait for it. [ms]",
    )
    batch_frames: int = Field(
        8_000,
        ge=1,
        le=10_000,
        validation_alias=_named("HEATPUMP_BATCH_FRAMES"),
        description="Most journal frames in one batch of the pipeline; 4 MB of them are enough, too.",
    )
    journal_retention: str = Field(
        "7d",
        validation_alias=_named("HEATPUMP_JOURNAL_RETENTION"),
        description="How long the journal is kept.",
    )
    journal_max_mb: int = Field(
        10_000,
        ge=8,
        validation_alias=_named("HEATPUMP_JOURNAL_MAX_MB"),
        description="Size at which ingest stops acknowledging and the broker's queue is the next buffer. [MB]",
    )
    journal_segment_mb: int = Field(
        64,
        ge=1,
        le=1024,
        validation_alias=_named("HEATPUMP_JOURNAL_SEGMENT_MB"),
        description="Segment size. [MB]",
    )
    min_free_mb: int = Field(
        1_000,
        ge=1,
        validation_alias=_named("HEATPUMP_MIN_FREE_MB"),
        description="Free disk space below which ingest stops acknowledging. [MB]",
    )
    graph: Path = Field(
        Path(__file__).parent / "graphs" / "heat_pump.toml",
        validation_alias=_named("HEATPUMP_GRAPH"),
        description="The node graph.",
    )

    @field_validator("influxdb_retention", "journal_retention")
    @classmethod
    def _is_duration(cls, text: str) -> str:
        if duration_ms(text) < DAY_MS:
            raise ValueError("must be at least 1d")
        return text

    @field_validator("influxdb_url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        return _checked_url(text, "http://127.0.0.1:8086", "INFLUXDB_TOKEN")

    @field_validator("api_url")
    @classmethod
    def _is_api_url(cls, text: str) -> str:
        return _checked_url(text, "http://backend:8000", "HEATPUMP_API_TOKEN")

    @field_validator("panel_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        for origin in text.split(","):
            parts = urlsplit(origin.strip().rstrip("/"))
            if origin.strip() and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
                raise ValueError("must be origins such as https://heat.example.org, separated by commas")
        return text

    @field_validator("flow_url")
    @classmethod
    def _is_flow_url(cls, text: str) -> str:
        text = _checked_url(text, "http://flow:8700", "HEATPUMP_COMMAND_TOKEN")
        if urlsplit(text).path:
            raise ValueError("must end with the port: the flow answers at no other path")
        return text

    @field_validator("command_token", "metrics_token", "session_key")
    @classmethod
    def _is_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if text and not (
            len(text) >= SHORTEST_TOKEN and text.isascii() and text.isprintable() and " " not in text
        ):
            raise ValueError(f"must be one word of at least {SHORTEST_TOKEN} ASCII characters")
        return token

    @field_validator("influxdb_bucket")
    @classmethod
    def _is_bucket(cls, text: str) -> str:
        if text.startswith("_") or '"' in text:
            raise ValueError("must be the name of a bucket: it may not begin with _ nor hold a quotation mark")
        return text


def _checked_url(text: str, example: str, secret: str) -> str:
    """Give back the address of a server without a slash at its end. Raises ValueError."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(text)):
        raise ValueError(f"must be the address of a server, such as {example}")
    if "@" in parts.netloc:
        raise ValueError(f"must have no user or password in it: the token goes into {secret}")
    return text.rstrip("/")


def _has_port(text: str) -> bool:
    """Tell whether the port of an address, if one is named, can be one."""
    try:
        _ = urlsplit(text).port
    except ValueError:
        return False
    return True
