"""What `heatpump doctor` finds of the broker: whether it answers, its version, and what it keeps."""

import re
from collections.abc import Iterator
from pathlib import Path

from flows.cli.finding import Finding
from flows.cli.words import counted, printable
from flows.settings import Settings

GOOD_MOSQUITTO = (2, 0, 13)
"""Older ones send more unacknowledged messages than they were asked to."""
MOST_NAMED = 20
REFERENCE = "docs/reference/mqtt.md"
_VERSION = re.compile(r"mosquitto version (\d+)\.(\d+)\.(\d+)")


def broker(settings: Settings, is_own: bool) -> Iterator[Finding]:
    """Log in, and try what we depend on. is_own: `up` runs the embedded one."""
    from flows.cli.broker_probe import LIVE_TOPIC, may_write, probe
    from flows.cli.checks import broker_problem, own_broker_login
    from flows.mqtt import Login, login_of

    if is_own:
        login = Login("127.0.0.1", settings.mqtt_port, *own_broker_login(settings))
    else:
        login = login_of(settings)
    problem = broker_problem(*login)
    if problem:
        remedy = "Is it running? MQTT_BROKER, MQTT_PORT, MQTT_USER and MQTT_PASSWORD say where and as whom."
        yield Finding("broker", problem, remedy)
        return
    try:
        tried = probe(login)
    except OSError as error:
        yield Finding("broker", f"answers, but then {error.strerror or error}", "See its log.")
        return
    yield version_finding(tried.version, f"answers at {login.host}:{login.port}", is_own)
    yield from _queue(tried.kept, is_own)
    if not is_own and may_write(login, LIVE_TOPIC) is False:
        remedy = (
            f"The ACL must let it: in a deployment it is heatpump-flow ({REFERENCE}). MQTT 3.1.1 would not say so."
        )
        yield Finding("broker, rights", f"{login.user} may not write heatpump-live/#, so nothing is live", remedy)
    if tried.retains is False:
        yield Finding(
            "broker, retained",
            "a retained message was not kept",
            "Without it a device's status/online is unknown after a restart: allow retained messages.",
        )


def version_finding(version: str, where: str, is_own: bool) -> Finding:
    """Judge a version as the broker tells it. where: it answers."""
    version = printable(version[:80])
    found = _VERSION.search(version)
    if is_own:
        return Finding("broker", f"{where}: the embedded rumqttd, which keeps sessions and queues in memory")
    if found is None:
        return Finding("broker", f"{where}; {version or 'it does not tell its version'}")
    if tuple(map(int, found.groups())) < GOOD_MOSQUITTO:
        wanted = ".".join(map(str, GOOD_MOSQUITTO))
        remedy = f"It works. Before {wanted} it overshoots how much may be under way unacknowledged: update it."
        return Finding("broker", f"{where}: {version}", remedy, mere=True)
    return Finding("broker", f"{where}: {version}")


def _queue(kept: int | None, is_own: bool) -> Iterator[Finding]:
    from flows.cli.broker_probe import TOPIC, TRIED

    subject = "broker, queue"
    if kept is None:
        remedy = f"To have it tried, let this login read and write {TOPIC}/#; docs/how-to/run.md says what to set."
        yield Finding(subject, "whether it keeps messages for a flow that is away is not known", remedy, mere=True)
    elif kept < TRIED:
        remedy = "Mosquitto: max_queued_messages 1000000 (its 1000 drops the newest without a word)."
        yield Finding(subject, f"of {TRIED} messages for a session that was away it kept {kept}", remedy)
    else:
        unseen = "" if is_own else "; what of it outlives its own restart cannot be seen: `persistence true` does"
        yield Finding(subject, f"kept all {TRIED} messages for a session that was away{unseen}")


def accounts(settings: Settings) -> Iterator[Finding]:
    """Of the deployed broker: who still uses the shared account; nothing where its accounts cannot be seen."""
    from flows.accounts.book import read

    if not (settings.accounts_folder / "accounts.json").exists():
        return
    book, subject = read(settings.accounts_folder), "broker, accounts"
    own = counted(len(book.devices), "device")
    if not book.shared_account:
        yield Finding(subject, f"{own} with an account of its own each, none is shared")
        return
    users = _sharing(settings, book.shared)
    who = f"used by {', '.join(users)}" if users else "nobody seen who uses it"
    remedy = "`heatpump device add` each of them; then end it: `heatpump accounts per-device`."
    yield Finding(subject, f"{book.shared} is shared, {who}; {own} with an account of its own", remedy, mere=True)


def _sharing(settings: Settings, shared: str) -> list[str]:
    """Name who connected by the shared account, as the log tells it."""
    from flows.accounts.connections import connections

    if not settings.mqtt_log:
        return ["who is in its log, of which HEATPUMP_MQTT_LOG may say where it is"]
    try:
        seen = [one for one in connections(Path(settings.mqtt_log)) if one.user == shared]
    except OSError as error:
        return [f"who is in {settings.mqtt_log}, which cannot be read: {error.strerror}"]
    named = [f"{one.client_id or 'one without a client id'} ({one.address})" for one in seen]
    return [*named[:MOST_NAMED], f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else named
