"""Dead letters: every one counted once, the first hundred of an hour kept."""

from flows.model.dead_letter import KEPT_PER_HOUR, DeadLetter, LetterChange, LetterState
from flows.model.reading import ORDER_STEP
from flows.model.rows import Forget
from flows.store.protocol import DeadLetterCount, StoredDeadLetter

from .conftest import FOREVER, HOUR, NOW, letter, outcome


def test_a_dead_letter_keeps_its_bytes(store):
    body = bytes(range(256))
    store.apply(DeadLetter(7, "", "heatpump/'; --/data", NOW, "bad_topic", "no device", body, 999))
    expected = StoredDeadLetter(7, "", "heatpump/'; --/data", NOW, "bad_topic", "no device", body, 999)
    assert store.reader.dead_letter(7) == expected
    assert store.reader.dead_letter(8) is None
    assert store.reader.devices() == []


def test_dead_letters_are_listed_newest_first_by_device_and_reason(store):
    for n in range(1, 9):
        store.apply(letter(n, reason=("empty", "not_json")[n % 2], device_id=f"site{n % 4 // 2}"))
    listed = {
        (device, reason): [found.id for found in store.reader.dead_letters(device, reason, None, 10)]
        for device in (None, "site1")
        for reason in (None, "empty")
    }
    assert listed == {
        (None, None): [8, 7, 6, 5, 4, 3, 2, 1],
        (None, "empty"): [8, 6, 4, 2],
        ("site1", None): [7, 6, 3, 2],
        ("site1", "empty"): [6, 2],
    }


def test_pages_of_dead_letters_go_on_where_the_last_ended(store):
    store.apply(*[letter(n) for n in range(1, 11)])
    found, before = [], None
    while page := store.reader.dead_letters("site1", "empty", before, 3):
        found += [each.id for each in page]
        before = page[-1].id
    assert found == list(range(10, 0, -1))


def test_all_are_counted_and_the_first_hundred_of_a_device_reason_and_hour_are_kept(store):
    letters = [letter(n) for n in range(1, 251)]
    store.apply(*letters[:90])
    store.apply(*letters[90:])
    store.apply(letter(300, arrived=NOW + HOUR), letter(301, reason="not_json"), letter(302, device_id="site2"))
    assert len(store.reader.dead_letters("site1", "empty", None, 1000)) == KEPT_PER_HOUR + 1
    assert store.reader.dead_letter(100) is not None
    assert store.reader.dead_letter(101) is None
    assert store.reader.dead_letter_counts(None, 0, FOREVER) == [
        DeadLetterCount("site1", "empty", NOW, 250),
        DeadLetterCount("site1", "not_json", NOW, 1),
        DeadLetterCount("site2", "empty", NOW, 1),
        DeadLetterCount("site1", "empty", NOW + HOUR, 1),
    ]
    assert store.reader.dead_letter_counts("site1", NOW + 1, FOREVER) == [
        DeadLetterCount("site1", "empty", NOW + HOUR, 1)
    ]


def test_a_replay_counts_nothing_twice(store):
    letters = [letter(n) for n in range(1, 131)]
    store.apply(*letters)
    before = store.content()
    store.apply(*letters[60:])
    store.apply(*letters)
    assert store.content() == before


def change(letter_id: int, state: LetterState, attempt: int, seq: int, reason: str = "") -> LetterChange:
    done = outcome(f"c{seq}", seq, outcome="refused" if state == "open" else "done", at=NOW + seq)
    detail = f"{reason} again" if reason else ""
    return LetterChange(seq * ORDER_STEP, letter_id, attempt, state, reason, detail, done)


def test_a_letter_that_is_refused_again_stays_open_with_the_newest_reason(store):
    store.apply(letter(7), change(7, "open", 1, 10, "not_json"))
    store.apply(change(7, "open", 2, 11, "device_mismatch"))
    found = store.reader.dead_letter(7)
    assert (found.state, found.attempts, found.tried_at, found.reason) == ("open", 2, NOW + 11, "empty")
    assert (found.last_reason, found.last_detail) == ("device_mismatch", "device_mismatch again")
    assert (found.resolved_by, found.resolved_at) == ("", None)
    assert store.reader.command("c11").outcome == "refused"


def test_a_closed_letter_is_kept_and_left_out_of_the_list_of_open_ones(store):
    store.apply(letter(7), letter(8), letter(9), change(7, "retried", 1, 10), change(8, "dropped", 0, 11))
    reader = store.reader
    listed = {
        state: [each.id for each in reader.dead_letters(None, None, None, 9, state)]
        for state in ("open", "retried", "dropped", None)
    }
    assert listed == {"open": [9], "retried": [7], "dropped": [8], None: [9, 8, 7]}
    retried, dropped = reader.dead_letter(7), reader.dead_letter(8)
    assert (retried.resolved_by, retried.resolved_at, retried.tried_at, retried.attempts) == (
        "ada", NOW + 10, NOW + 10, 1
    )  # fmt: skip
    assert (dropped.resolved_by, dropped.resolved_at, dropped.tried_at, dropped.attempts) == (
        "ada", NOW + 11, None, 0
    )  # fmt: skip
    assert reader.command("c10").outcome == "done"


def test_a_replay_of_commands_on_letters_changes_nothing_however_the_batches_are_cut(new_store):
    items = [
        letter(7),
        letter(8),
        change(7, "open", 1, 10, "not_json"),
        change(7, "retried", 2, 11),
        change(8, "open", 1, 12, "not_json"),
        change(8, "dropped", 1, 13),
    ]
    whole, cut = new_store(), new_store()
    whole.apply(*items)
    for item in items:
        cut.apply(item)
    before = whole.content()
    assert cut.content() == before
    whole.apply(*items[2:4])
    for item in items:
        cut.apply(item)
    assert whole.content() == cut.content() == before


def test_a_letter_that_is_gone_does_not_come_back_but_its_command_has_an_outcome(store):
    store.apply(letter(7))
    store.apply(Forget("site1", 20))
    store.apply(change(7, "open", 1, 1, "empty"))
    assert store.reader.dead_letter(7) is None
    assert store.reader.command("c1").outcome == "refused"
