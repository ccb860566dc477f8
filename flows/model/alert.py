"""Alerts as the store keeps them: transitions, one row each."""

from typing import Literal

import msgspec

Level = Literal["warning", "critical"]
AlertState = Literal["raised", "escalated", "eased", "acknowledged", "cleared", "noted"]


class Transition(msgspec.Struct, frozen=True):
    """One change of one alert.

    id         : of the alert; the same from raise to clear: device/alert_type/order of the raise.
    order      : what caused the change (journal seq * ORDER_STEP + index): with id, the row's identity.
    at         : event time of the change. [ms since 1970, UTC]
    arrived    : when the journal took the cause. [ms since 1970, UTC]
    level      : after the change; of a cleared alert, its last.
    state      : raised, escalated (warning → critical), eased (critical → warning), acknowledged, cleared;
                 noted: an event without end.
    value      : what was measured, or None.
    since      : event time of the raise. [ms since 1970, UTC]
    by         : who acknowledged, else "".
    """

    id: str
    order: int
    device_id: str
    alert_type: str
    at: int
    arrived: int
    level: Level
    state: AlertState
    value: float | None
    message: str
    since: int
    by: str = ""
