"""alerts: each as it stands now, newest first."""

from collections.abc import Collection

import msgspec

from flows.model.times import iso
from flows.queries.permitted import newest
from flows.store.protocol import StoredAlert, StoreReader


class AlertAnswer(msgspec.Struct, frozen=True):
    """One alert.

    time            : event time of its last transition.
    alert_level     : after it; of a cleared alert, the last.
    state           : raised, escalated, eased, acknowledged, cleared, or noted (an event without end).
    since           : event time of the raise.
    acknowledged_by : "" while nobody has.
    """

    time: str
    device_id: str
    alert_type: str
    alert_level: str
    value: float | None
    message: str
    id: str
    state: str
    since: str
    cleared_at: str | None
    acknowledged_by: str


def alerts(
    reader: StoreReader,
    device_id: str | None,
    start: int,
    end: int,
    limit: int,
    open_only: bool = False,
    own: Collection[str] | None = None,
) -> list[AlertAnswer]:
    """List alerts with a transition in [start, end). [ms since 1970, UTC]

    own : only of these devices, None for all.
    """
    found = newest(
        lambda one, most: reader.alerts(one, start, end, most, open_only),
        device_id,
        own,
        limit,
        lambda alert: alert.last.device_id,
        lambda alert: (alert.last.at, alert.last.order),
    )
    return [_answer(alert) for alert in found]


def _answer(alert: StoredAlert) -> AlertAnswer:
    last = alert.last
    return AlertAnswer(
        time=iso(last.at),
        device_id=last.device_id,
        alert_type=last.alert_type,
        alert_level=last.level,
        value=last.value,
        message=last.message,
        id=last.id,
        state=last.state,
        since=iso(last.since),
        cleared_at=None if alert.cleared_at is None else iso(alert.cleared_at),
        acknowledged_by=alert.acknowledged_by,
    )
