"""The walk from device to page: each fact breaks its link, with a sentence and a remedy."""

from contextlib import closing

import pytest

from flows.model.dead_letter import DeadLetter
from flows.model.times import DAY_MS, HOUR_MS
from flows.queries.ages import age, clock_time
from flows.queries.walk import LINKS, Facts, Refusal, System, walk
from flows.queries.walk_facts import look
from flows.store import open_reader, open_writer
from tests.recorded import ms

NOW = ms("2026-02-02T12:00:00Z")
SECOND, MINUTE = 1_000, 60_000
WELL = System("ok", "the flow is subscribed")


def facts(**known) -> Facts:
    """A device that spoke 4 s ago, but for what is given."""
    usual = {"online": True, "last_seen": NOW - 4 * SECOND, "newest_at": NOW - 5 * SECOND}
    return Facts(NOW, 120_000, known.pop("name", "site1"), **{**usual, **known})


def silent(**known) -> Facts:
    """A device that never spoke."""
    return Facts(NOW, 120_000, known.pop("name", "site1"), **known)


def test_a_device_that_spoke_just_now_is_well_on_every_link():
    found = walk("site1", WELL, facts())
    assert [link.link for link in found.links] == list(LINKS)
    assert {link.state for link in found.links} == {"ok"}
    assert (found.broken, found.remedy) == (None, "")
    assert found.sentence == "site1's reading of 4 s ago is stored and shown."


def refused(seconds_ago: int, **more) -> Refusal:
    return Refusal(NOW - seconds_ago * SECOND, "not_json", "not JSON", **more)


STALE = {"last_seen": NOW - 23 * MINUTE, "newest_at": NOW - 23 * MINUTE}


@pytest.mark.parametrize(
    ("link", "system", "known", "sentence", "remedy"),
    [
        ("broker", System("broken", "the flow is not running"), facts(), "the flow is not running", "heatpump up"),
        ("connected", WELL, facts(online=False, offline_since=NOW - 1), "last spoke 4 s ago", "power"),
        ("connected", WELL, facts(online=False), "says that it is offline", "heatpump/site1/status/online"),
        ("connected", WELL, facts(online=False, **STALE), "last spoke 23 min ago, at 11:37:00 UTC", "power"),
        ("connected", WELL, silent(online=False), "is not connected, and has sent no reading", "power"),
        ("message", WELL, facts(**STALE), "site1 last spoke 23 min ago", "sends nothing to its data topic"),
        ("message", WELL, facts(online=None, **STALE), "site1 last spoke 23 min ago", "its MQTT settings"),
        ("message", WELL, silent(), "Nothing has come from site1.", "simulate_device.py --device-id site1"),
        ("message", WELL, silent(name=""), "No device has sent anything yet.", "heatpump/site1/data"),
        ("message", WELL, silent(similar=["site10"]), "Nothing has come", "Known are site10: is it one of"),
        ("message", WELL, silent(nameless="heatpump/a b/data"), "Nothing has come", "'heatpump/a b/data' was"),
        (
            "decoded",
            WELL,
            silent(refused=refused(3)),
            "the newest was refused: not_json, not JSON.",
            "JSON object;",
        ),
        ("decoded", WELL, facts(refused=refused(1)), "the newest was refused", "dead-letters list --device site1"),
        (
            "decoded",
            WELL,
            facts(**STALE, refused=refused(3000, often=True)),
            "the newest was refused",
            "JSON object",
        ),
        (
            "decoded",
            WELL,
            silent(refused=refused(3 * 86_400)),
            "site1's newest message, 3 d ago, was refused: not_json, not JSON.",
            "dead-letters list --device site1",
        ),
        (
            "decoded",
            WELL,
            facts(online=None, **STALE, refused=refused(600)),
            "newest message, 10 min ago, was refused: not_json",
            "JSON object;",
        ),
        (
            "message",
            WELL,
            facts(online=None, **STALE, refused=refused(24 * 60)),
            "site1 last spoke 23 min ago",
            "its MQTT settings",
        ),
        (
            "stored",
            System("ok", "", store_waits="database is locked", backlog=7),
            facts(**STALE),
            "Nothing is lost: 7",
            "doctor",
        ),
        ("stored", System("ok", "", behind_ms=90_000, backlog=7), facts(**STALE), "90 s behind", "Wait"),
        (
            "stored",
            System("ok", "", store_detail="no store yet"),
            silent(),
            "cannot be read: no store yet",
            "doctor",
        ),
        ("shown", System("ok", "", shown_detail="the API is away"), facts(), "nothing shows them", "heatpump up"),
        (
            "shown",
            WELL,
            facts(newest_at=NOW - 3 * DAY_MS),
            "dated 2026-01-30 12:00:00 UTC, 2 d before it",
            "clock",
        ),
    ],
)
def test_the_first_broken_link_is_named_with_what_to_do(link, system, known, sentence, remedy):
    found = walk(known.name or None, system, known)
    assert found.broken == link
    assert sentence in found.sentence and remedy in found.remedy
    states = [one.state for one in found.links]
    at = LINKS.index(link)
    assert states[at] == "broken" and "broken" not in states[:at]
    assert set(states[at + 1 :]) <= {"unknown"}


def test_an_old_refusal_breaks_nothing_once_readings_came_after_it():
    assert walk("site1", WELL, facts(refused=refused(9))).broken is None


def test_a_device_all_of_whose_messages_were_refused_long_ago_is_told_why(address):
    with closing(open_writer(address)) as writer:
        writer.apply(
            [
                DeadLetter(order, "site1", "heatpump/site1/data", NOW + order, reason, f"{reason}.", b"{", 1)
                for order, reason in ((1, "not_an_object"), (2, "not_json"))
            ]
        )
    with closing(open_reader(address)) as reader:
        found = walk("site1", *look(reader, "site1", WELL, NOW + 3 * DAY_MS, 120_000))
    assert (found.broken, found.links[3].detail) == ("decoded", "dead: not_json")
    assert found.sentence == "site1's newest message, 2 d ago, was refused: not_json, not_json."


def test_an_old_refusal_is_not_the_newest_message_while_what_came_after_it_is_not_read_yet():
    for system in (System("ok", "", store_waits="locked"), System("ok", "", behind_ms=90_000, backlog=7)):
        links = walk("site1", system, silent(refused=refused(3_000))).links
        assert [link.state for link in links] == ["ok", "unknown", "unknown", "unknown", "broken", "unknown"]


def test_whether_a_device_is_connected_that_sends_no_status_is_not_known_until_a_message_came():
    assert walk("site1", WELL, facts(online=None)).links[1].state == "ok"
    assert walk("site1", WELL, facts(online=None, **STALE)).links[1].state == "unknown"


def test_what_waits_for_the_store_leaves_open_whether_a_message_came():
    states = [link.state for link in walk("site1", System("ok", "", store_waits="locked"), facts(**STALE)).links]
    assert states == ["ok", "ok", "unknown", "unknown", "broken", "unknown"]


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (-5, "0 s"),
        (4_999, "4 s"),
        (90_000, "90 s"),
        (23 * MINUTE, "23 min"),
        (30 * HOUR_MS, "30 h"),
        (9 * DAY_MS, "9 d"),
    ],
)
def test_a_span_is_said_in_the_largest_unit_of_which_there_are_two(span, said):
    assert age(span) == said


def test_a_time_has_its_date_where_it_is_not_of_today():
    assert clock_time(NOW - HOUR_MS, NOW) == "11:00:00 UTC"
    assert clock_time(NOW - DAY_MS, NOW) == "2026-02-01 12:00:00 UTC"
