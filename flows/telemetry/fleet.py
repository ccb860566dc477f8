"""What nodes remember of all devices, counted when somebody asks: who is online, which alerts are open."""

from collections import Counter

from flows.telemetry.meter import Meter


def online_and_open(meter: Meter, now: int, timeout_ms: int) -> tuple[int, dict[str, int]]:
    """Count devices that are online, as the API does, and open alerts by level, from what the nodes remember."""
    online, levels = 0, Counter({"warning": 0, "critical": 0})
    for step in meter.steps:
        devices = list(getattr(step.logic, "devices", {}).values())
        if step.step.node.name == "device":
            online = sum(
                one.online is not False and one.last_seen > 0 and now - one.last_seen <= timeout_ms
                for one in devices
            )
        elif step.step.node.name == "alert":
            levels.update(alert.level for one in devices for alert in list(one.open.values()))
    return online, dict(levels)
