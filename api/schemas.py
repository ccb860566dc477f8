"""Shapes of answers and bodies, for OpenAPI. Answers are encoded by msgspec and do not pass through them."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from api.params import Actor
from flows.model.device import MOST_GLYCOL_PERCENT, REFRIGERANTS
from flows.model.episode import Edge, EpisodeKind
from flows.model.quantities import QUANTITIES, Quantity
from flows.queries.walk import LinkName, LinkState

Instant = Annotated[str, Field(description="ISO 8601, UTC, milliseconds.", examples=["2025-01-31T12:00:00.000Z"])]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _value(quantity: Quantity) -> Any:
    kind = bool if quantity.kind == "flag" else float
    unit = f" [{quantity.unit}]" if quantity.unit else ""
    return (Annotated[kind | None, Field(description=f"{quantity.label}{unit}")], None)


Values = create_model("Values", **{quantity.name: _value(quantity) for quantity in QUANTITIES})


class Problem(BaseModel):
    """Why there is no answer; of 422 also which field, its value and what is allowed."""

    detail: str = Field(examples=["limit: 5000 must be less than or equal to 1000"])
    field: str | None = Field(None, examples=["limit"])
    value: Any = Field(None, examples=[5000])
    allowed: str | None = Field(None, examples=["must be less than or equal to 1000"])


class Root(BaseModel):
    """What this is."""

    name: str
    version: str
    status: Literal["running"]
    documentation: str


class Health(BaseModel):
    """healthy: store and MQTT; degraded: store only; unhealthy (503): no store."""

    status: Literal["healthy", "degraded", "unhealthy"]
    influxdb_connected: bool = Field(description="Whether the active store answers, whichever it is.")
    mqtt_connected: bool = Field(description="Whether this API is subscribed at the broker.")
    timestamp: Instant
    store: Literal["sqlite", "influxdb"] = Field(description="Kind of the active store.")
    flow_running: bool = Field(description="Whether the flow published its counters within the last 5 s.")
    problems: list[str] = Field(
        description="What is wrong, in words, with store, broker, flow, pipeline or journal.", examples=[[]]
    )


class DeviceSet(BaseModel):
    """Some devices: by id, and by the group of their metadata."""

    ids: list[str]
    groups: list[str]


class Session(BaseModel):
    """Who asks, and what it may."""

    name: str = Field(description="Of the token or user; empty on loopback without either.", examples=["anna"])
    scope: Literal["read", "command", "admin"]
    devices: Literal["all"] | DeviceSet
    expires: Instant | None = Field(description="When the session or token ends.")


class Stats(BaseModel):
    """Totals of the store."""

    total_readings: int
    total_alerts: int
    devices_online: int
    oldest_reading: Instant | None
    newest_reading: Instant | None


class Device(BaseModel):
    """One line of the list of devices; name, location and group where they are known."""

    device_id: str
    is_online: bool
    last_seen: Instant | None
    name: str | None = None
    location: str | None = None
    group: str | None = None


class Bound(BaseModel):
    """One side of a quantity's limits, in its unit."""

    alert_type: str
    warning: float | None
    critical: float | None
    unit: str


class DeviceStatus(Values):  # type: ignore[valid-type, misc]
    """The newest value of every quantity, null where the device never sent it."""

    device_id: str
    is_online: bool
    last_seen: Instant | None
    measured_at: dict[str, Instant] = Field(description="Event time of each value.")
    attributes: dict[str, str] = Field(description="What the device says of itself: rssi, version, …")
    metadata: dict[str, Any] = Field(description="What is known of it (see PUT), as in force now.")
    limits: dict[str, dict[Literal["low", "high"], Bound]] = Field(description="Bounds in force, by quantity.")


class Reading(Values):  # type: ignore[valid-type, misc]
    """One row; the fields that devices usually send are always there, null where missing."""

    time: Instant
    device_id: str
    arrived: Instant | None = None
    clock: Literal["device", "boot", "arrival"] | None = Field(None, description="Where `time` came from.")


class Series(BaseModel):
    """Values by column; of rollups {mean, min, max} of a number and the share of time of a flag."""

    device_id: str
    resolution: Literal["raw", "1m", "1h", "1d"]
    start: Instant
    end: Instant
    timezone: str = Field(description="The site's; its days are those of 1d.", examples=["Europe/Berlin"])
    readings: int
    coverage: dict[str, float] = Field(description="By field, share of the span until now with a value. [0 … 1]")
    gaps: list[tuple[Instant, Instant]] = Field(description="Holes of more than 900 s.")
    units: dict[str, str]
    heat_source: Literal["counter", "measured", "estimated"] | None = Field(
        description="Where heat of rollups came from; of several the least certain."
    )
    time: list[Instant] = Field(description="Event times, or starts of buckets.")
    values: dict[str, list[float | bool | None] | dict[Literal["mean", "min", "max"], list[float | None]]]


class Episode(BaseModel):
    """A span that means something as a whole; what is not known of it is null (docs/reference/episodes.md)."""

    id: str = Field(examples=["site1/defrost/1706600000000"])
    device_id: str
    kind: EpisodeKind
    start: Instant
    end: Instant
    seconds: float = Field(description="From start to end. [s]")
    begun_by: Edge = Field(description="Seen; unseen, for want of readings; or cut at midnight.")
    ended_by: Edge = Field(description="As begun_by.")
    heat_source: Literal["", "counter", "measured", "estimated"] = Field(
        description="Where heat_kwh came from, of several the least certain; empty without."
    )
    detail: str = Field(description="In words, of a change.")
    electric_kwh: float | None = Field(description="Electricity used. [kWh]")
    heat_kwh: float | None = Field(description="Heat given; negative in a defrost: what it took. [kWh]")
    outlet_mean: float | None = Field(description="Flow water, mean by time. [°C]")
    outlet_max: float | None = Field(description="Flow water, highest. [°C]")
    inlet_mean: float | None = Field(description="Return water, mean by time. [°C]")
    ambient_mean: float | None = Field(description="Outdoors, mean by time. [°C]")
    compressor_max: float | None = Field(description="Highest discharge temperature. [°C]")
    dhw_start: float | None = Field(description="Hot water tank, first value. [°C]")
    dhw_end: float | None = Field(description="Hot water tank, last value. [°C]")
    dhw_share: float | None = Field(description="Of a cycle, share of time that heated hot water. [0 … 1]")
    defrosts: float | None = Field(description="Of a cycle, how many defrosts began in it.")


class Alert(BaseModel):
    """One alert as it stands; time: of its last transition."""

    time: Instant
    device_id: str
    alert_type: str = Field(examples=["voltage_high"])
    alert_level: Literal["warning", "critical"]
    value: float | None
    message: str
    id: str = Field(examples=["site1/voltage_high/8192"])
    state: Literal["raised", "escalated", "eased", "acknowledged", "cleared", "noted"]
    since: Instant
    cleared_at: Instant | None
    acknowledged_by: str


class DeadLetterLine(BaseModel):
    """A refused message. size: of the original. [bytes]"""

    id: int
    device_id: str
    topic: str
    arrived: Instant
    reason: str = Field(description="Why it was first refused.", examples=["not_json"])
    detail: str
    size: int
    state: Literal["open", "retried", "dropped"] = Field(description="retried: with success.")
    attempts: int = Field(description="How often it was retried.")
    tried_at: Instant | None
    last_reason: str = Field(description="Why it was last refused again, empty if it never was.")
    last_detail: str
    resolved_by: str = Field(description="Who retried it with success or dropped it.")
    resolved_at: Instant | None


class DeadLetter(DeadLetterLine):
    """A refused message with the head (16 kB) of its body."""

    encoding: Literal["utf-8", "base64"]
    payload: str


class Refused(BaseModel):
    """How many messages were refused in the hour from `hour` on; bodies are kept of the first 100."""

    device_id: str
    reason: str
    hour: Instant
    count: int


class Link(BaseModel):
    """One link of the way from device to page."""

    link: LinkName
    state: LinkState = Field(description="unknown: not known, or behind a broken one.")
    detail: str = Field(description="What is known of it, a phrase.", examples=["4 s ago"])


class Walk(BaseModel):
    """The way of a device's readings, to the first broken link."""

    device_id: str | None = Field(description="Null: of whichever device spoke last.")
    links: list[Link]
    broken: LinkName | None
    sentence: str = Field(description="How it is.", examples=["Nothing has come from site1."])
    remedy: str = Field(description="What to do; empty where all is well.")


class Outcome(BaseModel):
    """What became of a command. pending: journaled, its effect not stored within 5 s; ask again with its id."""

    id: str
    seq: int
    outcome: Literal["done", "refused", "pending"]
    detail: str


class Body(BaseModel):
    """What a client sends: a field that is not known is refused with those that are."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields(cls, given: Any) -> Any:
        unknown = given.keys() - cls.model_fields.keys() if isinstance(given, dict) else ()
        why = PydanticCustomError(
            "unknown_field", "is no field here; there are {fields}", {"fields": ", ".join(cls.model_fields)}
        )
        if unknown:
            raise ValidationError.from_exception_data(
                cls.__name__,
                [InitErrorDetails(type=why, loc=(name,), input=given[name]) for name in sorted(unknown)],
            )
        return given


class Acknowledgement(Body):
    """Who acknowledges: of a token or user its own name, whatever is said here."""

    by: Actor = Field("api", description="Who acknowledges, as shown later.", examples=["Anna"])


class Attribution(Body):
    """Who asks: of a token or user its own name, whatever is said here."""

    by: Actor = Field("api", description="Who asks, as shown later.", examples=["Anna"])


class Thresholds(Body):
    """A device's own thresholds of one alert type, in the rule's unit; left out: the shipped one."""

    warning: Finite | None = Field(None, examples=[250.0])
    critical: Finite | None = Field(None, examples=[255.0])


class Metadata(Body):
    """What is known of a device that it does not send. It replaces the whole entry of its `valid_from`."""

    name: str = Field("", max_length=100, description="For people.", examples=["Cabin"])
    location: str = Field("", max_length=200, description="For people.", examples=["Lillehammer"])
    timezone: str = Field("UTC", description="IANA name; days shown are the site's.", examples=["Europe/Oslo"])
    refrigerant: str = Field("", description=f"One of {', '.join(REFRIGERANTS)}, or empty.", examples=["R290"])
    pressure_absolute: bool = Field(False, description="Pressures are psia, not psig.", examples=[False])
    glycol_percent: Finite = Field(
        0.0, description=f"Of the water loop. [%, 0 … {MOST_GLYCOL_PERCENT:g}]", examples=[0.0]
    )
    carnot_fraction: Finite = Field(
        0.5, description="Share of the Carnot COP, for estimated heat. [above 0 … 1]", examples=[0.5]
    )
    spf_boundary: Literal["", "H1", "H2", "H3", "H4"] = Field(
        "", description="What `power` covers (SEPEMO).", examples=["H3"]
    )
    group: str | None = Field(
        None,
        max_length=64,
        description="By which tokens and users are given many devices at once (docs/reference/access.md); only an"
        " admin changes it. Empty: none. Left out: as it was.",
        examples=["north"],
    )
    limits: dict[str, Thresholds] = Field(
        default_factory=dict, description="By alert type.", examples=[{"voltage_high": {"warning": 250.0}}]
    )
    valid_from: AwareDatetime | None = Field(
        None,
        description="From when on; readings since are computed again. By default: the first always, others now.",
        examples=["2025-01-31T12:00:00Z"],
    )
