"""What we know of a device that it does not send: its metadata."""

import re

import msgspec

from flows.errors import BadQuery
from flows.model.times import is_zone

DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
REFRIGERANTS = ("R22", "R32", "R134a", "R290", "R407C", "R410A", "R744", "R1234yf")
"""As CoolProp names them."""
MOST_GLYCOL_PERCENT = 30.0
LATEST_MS = 1 << 43
"""2248: no time in the store is beyond it. [ms since 1970, UTC]"""


def in_order(device_id: str) -> list[str | int]:
    """Give what devices are sorted by where people see them: site2 before site10."""
    parts = re.split("([0-9]+)", device_id)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


class Bounds(msgspec.Struct, frozen=True):
    """Thresholds that override the shipped rule of one alert type, in the rule's unit."""

    warning: float | None = None
    critical: float | None = None


class DeviceMetadata(msgspec.Struct, frozen=True):
    """Metadata of one device from `valid_from` on, until the next.

    valid_from       : readings at or after it are computed with this. [ms since 1970, UTC]
    name, location   : for people.
    timezone         : IANA name; days and months are the site's.
    refrigerant      : one of REFRIGERANTS, or "" where unknown: then nothing is derived from pressures.
    pressure_absolute: pressures are psia, not psig.
    glycol_percent   : of the water loop. [%, 0 … 30]
    carnot_fraction  : η for estimated heat, share of the Carnot COP reached. [0 … 1]
    spf_boundary     : H1 … H4 (SEPEMO) of what `power` covers, or "".
    limits           : by alert type, thresholds that override the shipped ones.
    group            : by which tokens and users are given many devices at once, "" without one. It counts as it
                       is now, whatever time is asked for (docs/reference/access.md).
    """

    valid_from: int = 0
    name: str = ""
    location: str = ""
    timezone: str = "UTC"
    refrigerant: str = ""
    pressure_absolute: bool = False
    glycol_percent: float = 0.0
    carnot_fraction: float = 0.5
    spf_boundary: str = ""
    limits: dict[str, Bounds] = {}
    group: str = ""


DEFAULT_METADATA = DeviceMetadata()

MOST_HISTORY_BYTES = 250_000
"""Of a device's entries as JSON, some 900: every answer about its readings looks at them, and a text in InfluxDB
has at most 1 MiB, with what protects its quotes."""


def check_metadata(entry: DeviceMetadata) -> None:
    """Refuse what nothing could compute with. Raises BadQuery."""
    if entry.refrigerant and entry.refrigerant not in REFRIGERANTS:
        raise BadQuery("refrigerant", entry.refrigerant[:40], f"must be empty or one of {', '.join(REFRIGERANTS)}")
    if not 0 <= entry.valid_from < LATEST_MS:
        raise BadQuery("valid_from", entry.valid_from, "must be milliseconds since 1970, up to 2248")
    if not 0.0 <= entry.glycol_percent <= MOST_GLYCOL_PERCENT:
        raise BadQuery("glycol_percent", entry.glycol_percent, f"must be 0 … {MOST_GLYCOL_PERCENT:g}")
    if not 0.0 < entry.carnot_fraction <= 1.0:
        raise BadQuery("carnot_fraction", entry.carnot_fraction, "must be greater than 0 and at most 1")
    if entry.group and not GROUP.fullmatch(entry.group):
        allowed = "must be empty, or 1 to 64 letters, digits, _ . or -, not _ . - first"
        raise BadQuery("group", entry.group[:80], allowed)
    if not is_zone(entry.timezone):
        raise BadQuery("timezone", entry.timezone[:40], "must be an IANA time zone, such as Europe/Berlin")


def metadata_at(history: list[DeviceMetadata], at: int) -> DeviceMetadata:
    """Pick the metadata in force at an instant.

    history : oldest valid_from first; may be empty.
    at      : [ms since 1970, UTC]
    """
    found = DEFAULT_METADATA
    for entry in history:
        if entry.valid_from > at:
            break
        found = entry
    return found


def with_metadata(history: list[DeviceMetadata], entry: DeviceMetadata) -> list[DeviceMetadata]:
    """Add an entry, replacing one of the same valid_from; oldest first. Raises BadQuery: there are too many."""
    kept = [known for known in history if known.valid_from != entry.valid_from]
    changed = sorted([*kept, entry], key=lambda known: known.valid_from)
    size = len(msgspec.json.encode(changed))
    if size > MOST_HISTORY_BYTES:
        allowed = (
            f"would make {len(changed)} entries of {size} bytes, at most {MOST_HISTORY_BYTES} are kept; "
            "one takes the place of another by its valid_from"
        )
        raise BadQuery("valid_from", entry.valid_from, allowed)
    return changed


class MetadataChanged(msgspec.Struct, frozen=True):
    """A device's metadata history after a command, for the nodes that compute with it.

    recompute_from : readings from here on were computed with other values, None: none were. [ms since 1970, UTC]
    """

    device_id: str
    order: int
    history: list[DeviceMetadata]
    recompute_from: int | None


class Forgotten(msgspec.Struct, frozen=True):
    """A user asked to forget a device: nodes drop what they remember of it."""

    device_id: str
    order: int
