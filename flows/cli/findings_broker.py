"""What `heatpump doctor` finds of the broker: whether it answers, its version, and what it keeps."""

import re
from collections.abc import Iterator

from flows.cli.finding import Finding
from flows.cli.words import printable
from flows.settings import Settings

GOOD_MOSQUITTO = (2, 0, 13)
"""Older ones send more unacknowledged messages than they were asked to."""
_VERSION = re.compile(r"mosquitto version (\d+)\.(\d+)\.(\d+)")


def broker(settings: Settings, is_own: bool) -> Iterator[Finding]:
    """Log in, and try what we depend on. is_own: `up` runs the embedded one."""
    from flows.cli.broker_probe import probe
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
