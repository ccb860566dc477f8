"""Accounts of devices: add, renew, revoke."""

from flows.accounts.book import Account, changing
from flows.accounts.names import check_device
from flows.accounts.passwords import hashed, new_password
from flows.errors import ConfigError
from flows.model.times import now_ms
from flows.settings import Settings


def add(settings: Settings, device_id: str, renew: bool) -> str:
    """Make an account, or with `renew` give an existing one another password; return the password.

    Raises ConfigError: no name for a device; it has an account, or has none to renew.
    """
    with changing(settings.accounts_folder) as book:
        check_device(device_id, book.shared or settings.mqtt_user, book.devices)
        old = book.devices.get(device_id)
        if old and not renew:
            allowed = "has an account: --renew gives it another password, by which the old one ends"
            raise ConfigError("device", device_id, allowed)
        if renew and not old:
            raise ConfigError("device", device_id, "has no account to renew: add it without --renew")
        password, now = new_password(), now_ms()
        book.devices[device_id] = Account(hashed(password), old.since if old else now, now if old else 0)
    return password


def revoke(settings: Settings, device_id: str) -> None:
    """Take a device's account away. Raises ConfigError where it has none."""
    with changing(settings.accounts_folder) as book:
        if book.devices.pop(device_id, None) is None:
            raise ConfigError("device", device_id, "has no account; `heatpump device list` shows those that have")


def per_device(settings: Settings, undo: bool) -> bool:
    """End the shared account, or let it be again (the next sync makes it); tell whether that changed anything."""
    with changing(settings.accounts_folder) as book:
        changed = book.per_device is undo
        book.per_device = not undo
        if book.per_device:
            book.shared_account, book.shared = None, ""
    return changed
