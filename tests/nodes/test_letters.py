"""Commands on dead letters: through decode, validate, clock and device, each attempt has one outcome."""

import base64
import json

import pytest

from flows.model.command import Command
from flows.model.dead_letter import KEPT_BYTES, DeadLetter, LetterChange
from flows.model.frame import Frame, FrameKind, Start, Tick
from flows.model.reading import ORDER_STEP, Reading
from flows.nodes import clock, decode, device, validate

from .conftest import NOW

DAY = 86_400_000
LATER = NOW + 3 * 3_600_000
LETTER = 5 * ORDER_STEP
GOOD = b'{"temperature":{"inlet":41.5}}'


def command(said=GOOD, seq=20, name="dead_letter_retry", letter_id=LETTER, command_id=None, **seen):
    told = {
        "state": "open",
        "attempts": 0,
        "topic": "heatpump/site1/data",
        "arrived": NOW,
        "payload": base64.b64encode(said).decode(),
        "size": len(said),
        **seen,
    }
    body = {"letter_id": letter_id, "seen": told}
    return Command(seq, command_id or f"c{seq}", "ada", LATER, name, body)


def message(payload, seq, topic="heatpump/site1/data", arrived=NOW):
    return Frame(seq, FrameKind.MESSAGE, arrived, topic, payload)


class Chain:
    """The first four nodes, one behind the other; every batch is recovered from a snapshot."""

    def __init__(self, **params):
        self._nodes = [decode.NODE, validate.NODE, clock.NODE, device.NODE]
        self._params = params
        self._snapshots = [None] * len(self._nodes)

    def run(self, *items):
        """Give the pipe's end, and all that went to the store."""
        rows, pipe = [], list(items)
        for number, node in enumerate(self._nodes):
            given = node.Params(**self._params.get(node.name, {}))
            logic, out = node.recover(given, self._snapshots[number]), {port: [] for port in node.out}
            logic.on_items(pipe, out)
            self._snapshots[number] = logic.snapshot()
            pipe = out[node.out[0]]
            rows += [item for port in node.out[1:] for item in out[port]]
        return pipe, rows


def test_what_nothing_dates_takes_a_time_that_its_device_has_no_reading_of():
    pipe, rows = Chain().run(command(free=NOW + 3))
    assert [(reading.at, reading.arrived, reading.clock) for reading in pipe] == [(NOW + 3, NOW, "arrival")]
    assert change_of(rows).outcome.detail == "stored as reading of site1 at 2026-02-02T02:40:00.003Z"
    several = b'[{"temperature":{"inlet":1}},{"temperature":{"inlet":2}}]'
    pipe, _ = Chain().run(command(several, free=NOW + 3))
    assert [reading.at for reading in pipe] == [NOW + 3, NOW + 4]
    dated = json.dumps({"timestamp": NOW - 5, "temperature": {"inlet": 4}}).encode()
    pipe, _ = Chain().run(command(dated, free=NOW + 3))
    assert [reading.at for reading in pipe] == [NOW - 5]


def change_of(rows):
    (change,) = [row for row in rows if isinstance(row, LetterChange)]
    return change


def test_what_succeeds_is_stored_as_of_its_arrival_and_closes_the_letter():
    pipe, rows = Chain().run(command())
    (reading,) = pipe
    assert (reading.at, reading.arrived, reading.order) == (NOW, NOW, 20 * ORDER_STEP)
    assert reading.values == {"temp_inlet": 41.5}
    change = change_of(rows)
    assert (change.letter_id, change.state, change.attempt) == (LETTER, "retried", 1)
    assert (change.outcome.outcome, change.outcome.by) == ("done", "ada")
    assert change.outcome.detail == "stored as reading of site1 at 2026-02-02T02:40:00.000Z"
    assert json.loads(change.outcome.body) == {"letter_id": LETTER}


@pytest.mark.parametrize(
    ("payload", "topic", "reason"),
    [
        (b"{", "heatpump/site1/data", "not_json"),
        (b'[{"device":"other"}]', "heatpump/site1/data", "device_mismatch"),
        (GOOD, "heatpump/site1/nonsense", "bad_topic"),
        (b'{"temperature":{"inlet":900}}', "heatpump/site1/data", "empty"),
        (b'{"temperature":{"inlet":85.0}}', "heatpump/site1/data", "empty"),
        (b"maybe", "heatpump/site1/status/online", "bad_status"),
        (b"true", "heatpump/site1/status/online", "bad_status"),
        (
            json.dumps({"timestamp": NOW - 40 * DAY, "temperature": {"inlet": 4}}).encode(),
            "heatpump/site1/data",
            "older_than_retention",
        ),
    ],
)
def test_what_is_refused_again_by_whatever_node_is_the_same_letter_with_one_attempt_more(payload, topic, reason):
    pipe, rows = Chain().run(command(payload, topic=topic, attempts=3))
    assert pipe == []
    assert [type(row) for row in rows] == [LetterChange]
    change = change_of(rows)
    assert (change.letter_id, change.state, change.attempt, change.reason) == (LETTER, "open", 4, reason)
    assert change.outcome.outcome == "refused"
    assert change.outcome.detail == f"{reason}: {change.detail}"


def test_wider_spans_let_a_letter_in_that_was_empty():
    hot = b'{"temperature":{"inlet":130}}'
    _, refused = Chain().run(message(hot, 5))
    assert [(letter.order, letter.reason) for letter in refused] == [(LETTER, "empty")]
    pipe, rows = Chain(validate={"spans": {"temp_inlet": (-40, 140)}}).run(command(hot))
    assert pipe[0].values == {"temp_inlet": 130.0}
    assert change_of(rows).state == "retried"


def test_of_two_commands_that_saw_the_same_letter_the_first_has_its_effect():
    chain = Chain()
    first, second = command(seq=20), command(seq=21)
    for batches in ([(first, second)], [(first,), (second,)]):
        chain = Chain()
        given = [chain.run(*batch) for batch in batches]
        assert sum(len(pipe) for pipe, _ in given) == 1
        rows = [row for _, some in given for row in some if hasattr(row, "outcome")]
        outcomes = [getattr(row.outcome, "outcome", row.outcome) for row in rows]
        assert sorted(outcomes) == ["done", "refused"]
    _, (late,) = chain.run(command(name="dead_letter_drop", seq=22))
    assert "another command came first" in late.detail


def test_the_same_command_twice_has_one_effect():
    pipe, rows = Chain().run(command(seq=20, command_id="x"), command(seq=21, command_id="x"))
    assert len(pipe) == 1
    assert len([row for row in rows if isinstance(row, LetterChange)]) == 1


def test_after_a_refusal_it_can_be_tried_again_by_who_has_seen_that():
    chain = Chain()
    _, rows = chain.run(command(b"{", seq=20))
    assert change_of(rows).state == "open"
    _, (stale,) = chain.run(command(b"{", seq=21))
    assert stale.outcome == "refused" and "another command" in stale.detail
    _, rows = chain.run(command(b"{", seq=22, attempts=1))
    assert change_of(rows).attempt == 2


def test_a_dropped_letter_is_closed_unread():
    pipe, rows = Chain().run(command(name="dead_letter_drop", attempts=2))
    change = change_of(rows)
    assert pipe == []
    assert (change.state, change.attempt, change.outcome.outcome) == ("dropped", 2, "done")


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"state": "retried"}, "is not open: it was retried"),
        ({"state": "dropped"}, "is not open: it was dropped"),
        ({"size": KEPT_BYTES + 1}, "only the first 16 kB of it were kept; it cannot be retried"),
        ({"topic": ""}, "holds a row that the store refused"),
        ({"payload": "no base64!"}, "base64"),
        ({"attempts": -1}, "attempts"),
        ({"arrived": 2**70}, "arrived"),
    ],
)
def test_what_cannot_be_retried_is_refused_in_words_and_changes_no_letter(seen, why):
    pipe, (outcome,) = Chain().run(command(**seen))
    assert pipe == []
    assert outcome.outcome == "refused" and why in outcome.detail


@pytest.mark.parametrize(
    "body", [{}, {"letter_id": "x"}, {"letter_id": 1, "seen": []}, {"letter_id": 2**80, "seen": {}}]
)
def test_a_command_that_carries_no_letter_is_refused(body):
    _, (outcome,) = Chain().run(Command(1, "c", "ada", NOW, "dead_letter_retry", body))
    assert outcome.outcome == "refused"


def test_an_array_is_taken_up_reading_by_reading_and_what_is_refused_of_it_is_a_letter_of_its_own():
    payload = b'[{"temperature":{"inlet":1}}, {"temperature":{"inlet":900}}, {}]'
    pipe, rows = Chain().run(command(payload))
    assert [reading.values for reading in pipe] == [{"temp_inlet": 1.0}]
    assert change_of(rows).state == "retried"
    assert sorted((row.order, row.reason) for row in rows if isinstance(row, DeadLetter)) == [
        (20 * ORDER_STEP + 1, "empty"),
        (20 * ORDER_STEP + 2, "empty"),
    ]


def test_an_alert_that_a_device_raised_is_noted_as_of_then():
    payload = b'{"type":"leak","level":"warning","value":1,"message":"wet"}'
    pipe, rows = Chain().run(command(payload, topic="heatpump/site1/alerts"))
    assert [(alert.alert_type, alert.at) for alert in pipe] == [("leak", NOW)]
    assert change_of(rows).outcome.detail.startswith("stored as an alert that site1 raised at 2026-02-02")


def uptime(ms, inlet=1.0):
    return json.dumps({"timestamp": ms, "temperature": {"inlet": inlet}}).encode()


def test_an_uptime_of_the_present_boot_is_dated_with_it_and_an_older_one_by_its_arrival():
    chain = Chain()
    chain.run(message(uptime(10_000), 1, arrived=NOW), Tick(2, 1, NOW + 1000))
    pipe, _ = chain.run(command(uptime(20_000), arrived=NOW + 11_500))
    assert [(reading.at - NOW, reading.clock) for reading in pipe] == [(10_000, "boot")]
    older = command(uptime(90_000_000), seq=21, letter_id=LETTER + 1, arrived=NOW - DAY)
    pipe, _ = chain.run(older)
    assert [(reading.at - NOW, reading.clock) for reading in pipe] == [(-DAY, "boot")]


def test_a_retry_leaves_the_devices_clock_alone():
    def later_ones(*between):
        chain = Chain()
        chain.run(message(uptime(10_000), 1, arrived=NOW), Tick(2, 1, NOW + 1000))
        chain.run(*between)
        pipe, _ = chain.run(
            message(uptime(30_000, 2.0), 50, arrived=NOW + 20_100), message(GOOD, 51, arrived=NOW + 20_200)
        )
        return [(item.at, item.clock) for item in pipe if isinstance(item, Reading)]

    retries = (command(uptime(5), arrived=NOW - 5 * DAY), command(seq=21, letter_id=7, arrived=NOW + 19_000))
    assert later_ones(*retries) == later_ones()


def test_a_reading_whose_boot_is_not_dated_yet_is_decided_with_it():
    chain = Chain()
    _, rows = chain.run(message(uptime(10_000), 1), command(uptime(12_000), arrived=NOW + 2_100))
    assert not [row for row in rows if isinstance(row, LetterChange)]
    pipe, rows = chain.run(Tick(30, 1, LATER))
    assert [reading.at - NOW for reading in pipe if isinstance(reading, Reading)] == [0, 2_000]
    assert change_of(rows).outcome.detail == "stored as reading of site1 at 2026-02-02T02:40:02.000Z"


def test_a_retry_is_no_sign_of_life():
    chain = Chain()
    chain.run(message(GOOD, 1, arrived=LATER - 1000))
    _, rows = chain.run(command(), Tick(30, 1, LATER))
    assert [row for row in rows if getattr(row, "last_seen", None) is not None] == []


def test_what_the_store_no_longer_keeps_raw_is_refused_though_it_arrived_in_time():
    chain = Chain()
    chain.run(Start(1, NOW, raw_retention_ms=2 * DAY), Tick(2, 1, NOW + 40 * DAY))
    pipe, rows = chain.run(command())
    assert pipe == []
    change = change_of(rows)
    assert (change.state, change.reason) == ("open", "older_than_retention")
    assert "import it instead" in change.detail


def test_a_letter_of_a_device_that_was_forgotten_meanwhile_brings_nothing_back():
    chain = Chain()
    forget = Command(10, "f", "ada", NOW, "device_forget", {"device_id": "site1"})
    pipe, rows = chain.run(message(GOOD, 1), forget, command())
    assert change_of(rows).reason == "forgotten"
    assert [item.order for item in pipe if isinstance(item, Reading)] == [ORDER_STEP]
