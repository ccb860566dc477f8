"""Episodes: spans of a device's time that mean something as a whole, and the request to find them anew."""

from typing import Literal

import msgspec

EpisodeKind = Literal["cycle", "defrost", "dhw_run", "gap", "change"]
Edge = Literal["edge", "gap", "midnight"]
"""How an episode begins or ends: seen in the readings; unseen, for want of them; or cut, as it lasts for days."""

FLAGGED: tuple[EpisodeKind, ...] = ("cycle", "defrost", "dhw_run")
TRACED: tuple[EpisodeKind, ...] = (*FLAGGED, "gap")
"""Kinds that follow from raw rows."""
KINDS: tuple[EpisodeKind, ...] = (*TRACED, "change")
"""All of them."""

VALUES: dict[str, str] = {
    "electric_kwh": "kWh",
    "heat_kwh": "kWh",
    "outlet_mean": "°C",
    "outlet_max": "°C",
    "inlet_mean": "°C",
    "ambient_mean": "°C",
    "compressor_max": "°C",
    "dhw_start": "°C",
    "dhw_end": "°C",
    "dhw_share": "",
    "defrosts": "",
}
"""What an episode can say of its span, with units."""


class Episode(msgspec.Struct, frozen=True):
    """One span [start, end) of a device. [ms since 1970, UTC]

    values : by name (see VALUES); what is not known is absent.
    detail : in words, of a change.
    """

    kind: EpisodeKind
    start: int
    end: int
    begun_by: Edge = "edge"
    ended_by: Edge = "edge"
    values: dict[str, float] = {}
    heat_source: str = ""
    detail: str = ""


class EpisodeRow(msgspec.Struct, frozen=True):
    """An episode that ended, to be stored; newer replaces older of the same device, kind and start."""

    device_id: str
    order: int
    episode: Episode


class Retrace(msgspec.Struct, frozen=True):
    """Find the episodes that touch [start, end] anew from raw rows, in place of those that are stored.

    kinds : those to look for, of TRACED.
    begun : about when what may have ended began; only says where to look first. [ms since 1970, UTC]
    """

    device_id: str
    order: int
    start: int
    end: int
    kinds: tuple[EpisodeKind, ...]
    begun: int
