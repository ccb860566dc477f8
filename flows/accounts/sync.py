"""Our own accounts and the shared one, made from their secrets; the devices' are left as they are."""

from flows.accounts.book import Account, Book, changing
from flows.accounts.names import API, FLOW, HEALTH, check_shared
from flows.accounts.passwords import fits, hashed
from flows.errors import ConfigError
from flows.model.times import now_ms
from flows.settings import Settings


def sync(settings: Settings) -> list[str]:
    """Make the accounts fit the secrets; return what changed, in words. Twice is as once.

    A secret that is not given takes its account away: nobody could use it. Raises ConfigError where no secret is
    given at all, or MQTT_USER is no name for the shared account.
    """
    given = {
        FLOW: settings.mqtt_flow_password.get_secret_value(),
        API: settings.mqtt_api_password.get_secret_value(),
        HEALTH: settings.mqtt_health_password.get_secret_value(),
    }
    shared = settings.mqtt_password.get_secret_value()
    if not any((*given.values(), shared)):
        allowed = "is not set, nor are HEATPUMP_MQTT_API_PASSWORD, HEATPUMP_MQTT_HEALTH_PASSWORD and MQTT_PASSWORD"
        raise ConfigError("HEATPUMP_MQTT_FLOW_PASSWORD", "", f"{allowed}: HEATPUMP_SECRETS may name their folder")
    _check_different({**given, settings.mqtt_user: shared})
    with changing(settings.accounts_folder) as book:
        changes = [change for name, password in given.items() if (change := _service(book, name, password))]
        return changes + _shared(book, settings.mqtt_user, "" if book.per_device else shared)


def _check_different(passwords: dict[str, str]) -> None:
    seen: dict[str, str] = {}
    for name, password in passwords.items():
        if password and (other := seen.setdefault(password, name)) != name:
            allowed = f"has the password of {other}: who knows one account's would have the other's rights"
            raise ConfigError("MQTT account", name, allowed)


def _service(book: Book, name: str, password: str) -> str:
    account, changed = _fitting(book.services.get(name), password)
    if account is None:
        book.services.pop(name, None)
    else:
        book.services[name] = account
    return f"{name}: {changed}" if changed else ""


def _shared(book: Book, user: str, password: str) -> list[str]:
    if password:
        check_shared(user, book.devices)
    changes = []
    if book.shared_account and book.shared != user:
        changes.append(f"{book.shared}, shared: removed")
        book.shared_account = None
    book.shared_account, changed = _fitting(book.shared_account, password)
    book.shared = user if book.shared_account else ""
    return changes + ([f"{user}, shared: {changed}"] if changed else [])


def _fitting(account: Account | None, password: str) -> tuple[Account | None, str]:
    """Give the account with this password, and what had to be done for it."""
    if not password:
        return None, "removed" if account else ""
    if account is None:
        return Account(hashed(password), now_ms()), "made"
    if fits(password, account.hashed):
        return account, ""
    return Account(hashed(password), account.since, now_ms()), "has another password"
