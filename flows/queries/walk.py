"""walk: where the way of a device's readings is broken, link by link; pure, from facts (see walk_facts.py).

The API, `heatpump doctor --device` and the pages' empty and stale states say these words.
"""

from typing import Literal, NamedTuple

import msgspec

from flows.model.times import HOUR_MS
from flows.queries.ages import age, clock_time

LinkName = Literal["broker", "connected", "message", "decoded", "stored", "shown"]
LinkState = Literal["ok", "broken", "unknown"]

LINKS: tuple[LinkName, ...] = ("broker", "connected", "message", "decoded", "stored", "shown")
MISDATED_MS = HOUR_MS
"""A newest reading dated so long before it arrived is looked for in the wrong place. [ms]"""
BEHIND_MS = 10_000
"""A pipeline further behind is catching up. [ms]"""

_REFUSED = {
    "empty": "No value of it was plausible: look at its sensors and wiring, or widen the spans of `validate`",
    "not_json": "Its firmware must send a JSON object",
    "not_an_object": "Its firmware must send a JSON object, or an array of such",
    "device_mismatch": "Give the device the same id in its topic and in the payload's `device`",
    "too_large": "Have it send at most 256 kB a message",
    "too_many_readings": "Have it send at most 5 000 readings a message",
    "older_than_retention": "Set its clock, or bring old readings in with `heatpump import`",
}


class Link(msgspec.Struct, frozen=True):
    """One link. detail: what is known of it, a phrase."""

    link: LinkName
    state: LinkState
    detail: str


class Walk(msgspec.Struct, frozen=True):
    """The whole way, in order. broken: the first link that is; what comes after it is not known.

    device_id : None: of whichever device spoke last.
    sentence  : how it is, for a person. remedy: what to do, "" where all is well.
    """

    device_id: str | None
    links: list[Link]
    broken: LinkName | None
    sentence: str
    remedy: str


class System(msgspec.Struct, frozen=True):
    """What is the same for every device.

    broker       : whether the flow and the asker hear the broker; broker_detail says why not.
    store_waits  : why rows wait for the store, "" while they do not.
    store_detail : why the store cannot be read, "" if it can.
    shown_detail : why nothing of the store is shown, "" if it is.
    backlog      : journaled and not read by the pipeline. [frames]
    behind_ms    : age of the newest frame it read, 0 without a backlog. [ms]
    options      : by which the simulator finds the broker, each behind a blank.
    """

    broker: LinkState
    broker_detail: str
    store_waits: str = ""
    store_detail: str = ""
    shown_detail: str = ""
    backlog: int = 0
    behind_ms: int = 0
    options: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """The newest refused data message. arrived: [ms since 1970, UTC]

    often : more were refused in this hour than are kept, so newer ones than this may have come.
    """

    arrived: int
    reason: str
    detail: str
    often: bool = False


class Facts(msgspec.Struct, frozen=True):
    """What is known of one device, or of all together.

    now           : [ms since 1970, UTC]
    timeout_ms    : within which a message is fresh. [ms]
    name          : of the device whose facts these are, "" where no device is known.
    online        : its last status/online, None if it never sent one.
    offline_since : event time of its open alert device_offline. [ms since 1970, UTC]
    last_seen     : arrival of its newest reading, 0 if none ever came. [ms since 1970, UTC]
    newest_at     : newest event time that is stored. [ms since 1970, UTC]
    nameless      : topic of the newest message below heatpump/ that named no device, "" if none came lately.
    similar       : known devices of nearly its name, where it is not known.
    """

    now: int
    timeout_ms: int
    name: str
    online: bool | None = None
    offline_since: int | None = None
    last_seen: int = 0
    newest_at: int | None = None
    refused: Refusal | None = None
    nameless: str = ""
    similar: list[str] = []

    def is_fresh(self, at: int) -> bool:
        """Tell whether an arrival is recent. [ms since 1970, UTC]"""
        return at > 0 and self.now - at <= self.timeout_ms

    @property
    def last_message(self) -> int:
        """Arrival of the newest message with readings, refused or not, as far as known. [ms since 1970, UTC]"""
        if self.refused is None:
            return self.last_seen
        return max(self.last_seen, self.now if self.refused.often else self.refused.arrived)

    @property
    def newest_refused(self) -> bool:
        """Tell whether the newest message with readings was refused, however long ago."""
        if self.refused is None:
            return False
        unsure = self.refused.often and not self.is_fresh(self.last_seen)
        return self.refused.arrived > self.last_seen or unsure


class _Break(NamedTuple):
    detail: str
    sentence: str
    remedy: str


_Look = tuple[LinkState, str] | _Break


def walk(device_id: str | None, system: System, facts: Facts) -> Walk:
    """Go from link to link until one is broken."""
    looks = (_broker, _connected, _message, _decoded, _stored, _shown)
    links: list[Link] = []
    broken: _Break | None = None
    for name, look in zip(LINKS, looks, strict=True):
        if broken is not None:
            links.append(Link(name, "unknown", ""))
            continue
        found = look(system, facts)
        if isinstance(found, _Break):
            broken = found
            links.append(Link(name, "broken", found.detail))
        else:
            links.append(Link(name, *found))
    if broken is not None:
        at = next(link.link for link in links if link.state == "broken")
        return Walk(device_id, links, at, broken.sentence, broken.remedy)
    spoke = age(facts.now - facts.last_seen)
    return Walk(device_id, links, None, f"{facts.name}'s reading of {spoke} ago is stored and shown.", "")


def _broker(system: System, facts: Facts) -> _Look:
    if system.broker != "broken":
        return system.broker, system.broker_detail
    sentence = f"Nothing can arrive: {system.broker_detail}."
    return _Break(
        system.broker_detail, sentence, "`heatpump up` starts broker and flow; `heatpump doctor` looks closer."
    )


def _connected(system: System, facts: Facts) -> _Look:
    if system.store_detail or not facts.name:
        return "unknown", "no device has said so" if not system.store_detail else "the store cannot be read"
    fresh = facts.is_fresh(facts.last_message)
    if facts.online is None:
        return ("ok", "its messages arrive") if fresh else ("unknown", "it sends no status/online")
    if facts.online:
        return "ok", "status/online is true"
    if fresh and facts.offline_since is None:  # a reading clears the alert, whatever the status says
        return _Break(
            "status/online is false, though messages arrive",
            f"{facts.name} sends messages, but its status/online says that it is offline.",
            f"Have it publish `true`, retained, to heatpump/{facts.name}/status/online whenever it connects.",
        )
    since = f" at {clock_time(facts.offline_since, facts.now)}" if facts.offline_since else ""
    return _Break(
        f"it took its leave, or its last will did{since}",
        _stale(facts) if facts.last_message else f"{facts.name} is not connected, and has sent no reading.",
        "Look at its power, its network, and the broker's address and password in it.",
    )


def _message(system: System, facts: Facts) -> _Look:
    if system.store_detail:
        return "unknown", "the store cannot be read"
    came = facts.last_message
    if facts.is_fresh(came):
        often = facts.refused is not None and facts.refused.often and came == facts.now
        return "ok", "within this hour, many" if often else f"{age(facts.now - came)} ago"
    if system.store_waits or system.behind_ms > BEHIND_MS:
        return "unknown", "what arrived lately is not read yet"
    if facts.newest_refused:  # it came, be it long ago: how it was refused says more than that it is silent
        return "ok", f"{age(facts.now - came)} ago"
    if came:
        remedy = "Look at its power, its network and its MQTT settings."
        if facts.online:
            remedy = "It is connected, but sends nothing to its data topic: look at its interval and its log."
        return _Break(f"the last {age(facts.now - came)} ago", _stale(facts), remedy)
    device = facts.name or "site1"
    sentence = f"Nothing has come from {device}." if facts.name else "No device has sent anything yet."
    line = f"python scripts/simulate_device.py --device-id {device}{system.options}"
    remedy = f"Publish a reading to heatpump/{device}/data: `{line}`."
    if facts.nameless:
        topic = f"heatpump/{device}/data"
        remedy = f"A message on {facts.nameless!r} was refused; if that was it, its topic must be {topic}."
    elif facts.similar:
        remedy = f"Known are {', '.join(facts.similar)}: is it one of those? {remedy}"
    return _Break("none yet", sentence, remedy)


def _decoded(system: System, facts: Facts) -> _Look:
    refused, fresh = facts.refused, facts.is_fresh(facts.last_message)
    waits = system.store_waits or system.behind_ms > BEHIND_MS
    if refused is not None and facts.newest_refused and (fresh or not waits):
        since = facts.now - refused.arrived
        newest = "messages arrive, but the newest" if fresh else f"newest message, {age(since)} ago,"
        return _Break(
            f"dead: {refused.reason}",
            f"{facts.name}'s {newest} was refused: {refused.reason}, {refused.detail}.",
            f"{_REFUSED.get(refused.reason, 'See docs/how-to/dead-letters.md')};"
            f" `heatpump dead-letters list --device {facts.name}` shows what came.",
        )
    if not facts.is_fresh(facts.last_seen):
        return "unknown", "what arrived lately is not read yet"
    return "ok", "as a reading"


def _stored(system: System, facts: Facts) -> _Look:
    if system.store_detail:
        sentence = f"The store cannot be read: {system.store_detail}."
        return _Break(
            system.store_detail, sentence, "`heatpump doctor` says what to do; the journal keeps what arrives."
        )
    if system.store_waits:
        waiting = f"{system.backlog} messages and seconds wait in the journal"
        sentence = f"What arrives waits for the store: {system.store_waits}. Nothing is lost: {waiting}."
        return _Break(system.store_waits, sentence, "`heatpump doctor` says what to do; it goes on by itself.")
    if system.behind_ms > BEHIND_MS and not facts.is_fresh(facts.last_seen):
        behind = age(system.behind_ms)
        sentence = f"The pipeline is {behind} behind and catches up: {system.backlog} frames wait in the journal."
        return _Break(
            f"{behind} behind", sentence, "Wait; if it does not shrink, see docs/benchmarks.md for its speed."
        )
    return "ok", f"the reading of {age(facts.now - facts.last_seen)} ago"


def _shown(system: System, facts: Facts) -> _Look:
    if system.shown_detail:
        return _Break(
            system.shown_detail,
            f"{facts.name}'s readings are stored, but nothing shows them: {system.shown_detail}.",
            "`heatpump up` starts what shows them; `heatpump status` tells how it is.",
        )
    if facts.newest_at is not None and facts.last_seen - facts.newest_at > MISDATED_MS:
        dated = clock_time(facts.newest_at, facts.now)
        return _Break(
            f"dated {dated}",
            f"{facts.name}'s newest reading is dated {dated}, {age(facts.last_seen - facts.newest_at)} before it"
            " arrived: it is shown there.",
            "Set the device's clock (NTP), or have it send no timestamp. If it just sends what it buffered, wait.",
        )
    return "ok", "by the API and the pages"


def _stale(facts: Facts) -> str:
    came = facts.last_message
    spoke = f"{facts.name} last spoke {age(facts.now - came)} ago, at {clock_time(came, facts.now)}"
    return (
        f"{spoke}; the values are from then." if facts.last_seen else f"{spoke}, and nothing of it could be read."
    )
