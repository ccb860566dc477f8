import pytest

from flows.ingest.redelivery import Redeliveries
from flows.model.message import Message


def message(text, packet_id, dup=False, retain=False, topic="heatpump/a/data"):
    return Message(topic, text.encode(), 1, retain, dup, packet_id, arrived=0)


def sent(texts, first_id=1):
    return [message(text, first_id + place) for place, text in enumerate(texts)]


def judge_all(redeliveries, messages):
    known, new = [], []
    for one in messages:
        now_known, now_new = redeliveries.judge(one)
        known += now_known
        new += now_new
    return "".join(m.payload.decode() for m in known), "".join(m.payload.decode() for m in new)


def resumed(texts, first_id=41):
    redeliveries = Redeliveries()
    redeliveries.connected(session_present=False)
    for one in sent(texts, first_id):
        redeliveries.journaled([one])
    redeliveries.connected(session_present=True)
    return redeliveries


@pytest.mark.parametrize("again", ["abcde", "cde", "e"])
def test_what_a_broker_without_dup_numbers_anew_and_sends_again_is_known(again):
    redeliveries = resumed("abcde")
    assert judge_all(redeliveries, sent(again + "xy")) == (again, "xy")
    assert redeliveries.count == len(again)


def test_what_is_sent_again_under_its_old_packet_id_is_known_without_dup_too():
    assert judge_all(resumed("abcde", 41), sent("de", 44)) == ("de", "")


def test_messages_that_only_begin_like_old_ones_are_all_new():
    assert judge_all(resumed("abcde"), sent("cdx")) == ("", "cdx")


def test_an_old_message_under_a_later_packet_id_is_new():
    assert judge_all(resumed("abcde", 41), sent("e", 46)) == ("", "e")


def test_only_the_first_messages_after_a_reconnect_can_be_redeliveries():
    assert judge_all(resumed("abcde"), sent("xcde")) == ("", "xcde")


def test_of_equal_messages_no_more_are_dropped_than_must_have_been_sent_again():
    assert judge_all(resumed("xaaab"), sent("aab")) == ("aab", "")
    assert judge_all(resumed("aaa"), sent("aaaa")) == ("a", "aaa")


def test_held_messages_are_new_when_the_broker_has_nothing_more_to_send_again():
    redeliveries = resumed("abcde")
    assert judge_all(redeliveries, sent("bc")) == ("", "")
    redeliveries.ping_sent()
    assert [m.payload for m in redeliveries.ping_answered()] == [b"b", b"c"]


def test_held_messages_of_a_lost_connection_come_again():
    redeliveries = resumed("abcde")
    judge_all(redeliveries, sent("bc"))
    redeliveries.connected(session_present=True)
    assert judge_all(redeliveries, sent("bcdef")) == ("bcde", "f")


def test_a_broker_that_does_not_know_us_sends_nothing_again():
    redeliveries = resumed("abcde")
    redeliveries.connected(session_present=False)
    assert judge_all(redeliveries, sent("cde")) == ("", "cde")


def test_what_was_acknowledged_before_an_answered_ping_is_not_sent_again():
    redeliveries = Redeliveries(sent("ab"))
    redeliveries.connected(session_present=True)
    redeliveries.ping_sent()
    redeliveries.journaled([message("c", 3)])
    assert redeliveries.ping_answered() == []
    redeliveries.connected(session_present=True)
    assert judge_all(redeliveries, sent("bc")) == ("", "bc")
    redeliveries.connected(session_present=True)
    assert judge_all(redeliveries, sent("c")) == ("c", "")


def test_a_marked_redelivery_is_known_by_packet_id_and_content():
    redeliveries = resumed("abcde", 41)
    again = [message("b", 42, dup=True), message("b", 43, dup=True), message("z", 44, dup=True)]
    assert judge_all(redeliveries, again) == ("b", "bz")


def test_a_command_to_a_device_in_between_keeps_its_place():
    redeliveries = resumed("abc")
    stream = [message("b", 1), message("!", 2, topic="heatpump/a/commands"), message("c", 3), message("d", 4)]
    assert judge_all(redeliveries, stream) == ("b!c", "d")


@pytest.mark.parametrize(
    ("topic", "is_one"),
    [
        ("heatpump/a/commands", True),
        ("heatpump/a/commands/x", False),
        ("heatpump/commands", False),
        ("x/a/commands", False),
    ],
)
def test_commands_to_devices_are_told_by_their_topic(topic, is_one):
    assert message("", 1, topic=topic).is_command is is_one
