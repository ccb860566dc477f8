"""Which names an account may have."""

from collections.abc import Iterable

from flows.errors import ConfigError
from flows.model.device import DEVICE_ID

FLOW, API, HEALTH = "heatpump-flow", "heatpump-api", "heatpump-health"
SERVICES = (FLOW, API, HEALTH)


def check_device(device_id: str, shared: str, others: Iterable[str]) -> None:
    """Refuse a name that no device's account may have. Raises ConfigError.

    A device's user name stands for `%u` in the ACL's topics, and on the TLS listener it is the client id too: a
    wildcard would be every device, a name of ours would take our session.

    shared : the shared account's name, "" where there is none.
    others : the devices that have an account.
    """
    if not DEVICE_ID.fullmatch(device_id):
        raise ConfigError("device", device_id, "must be 1 to 64 letters, digits, _ . or -, not _ . - first")
    folded = device_id.casefold()
    for ours in SERVICES:
        if folded == ours or folded.startswith(f"{ours}-"):
            raise ConfigError("device", device_id, f"is kept for us: {ours} is an account of this system")
    if folded == shared.casefold():
        raise ConfigError(
            "device", device_id, "is the shared account's name (MQTT_USER); the device needs another"
        )
    for other in others:
        if other != device_id and other.casefold() == folded:
            allowed = f"differs from the device {other!r} only in case: one would be taken for the other"
            raise ConfigError("device", device_id, allowed)


def check_shared(user: str, devices: Iterable[str]) -> None:
    """Refuse a name that the shared account may not have. Raises ConfigError that names MQTT_USER."""
    bad = set(user) & set(":+#/%\\'")
    if not user or not user.isprintable() or user != user.strip() or bad or len(user) > 64:
        allowed = "must be 1 to 64 printable characters without : + # / % \\ ' and without blanks around them"
        raise ConfigError("MQTT_USER", user, allowed)
    folded = user.casefold()
    if folded in SERVICES or any(folded.startswith(f"{ours}-") for ours in SERVICES):
        raise ConfigError(
            "MQTT_USER", user, "is an account of this system's own; the shared account needs another"
        )
    if any(folded == device.casefold() for device in devices):
        allowed = "is the account of a device: revoke that, or give the shared account another name"
        raise ConfigError("MQTT_USER", user, allowed)
