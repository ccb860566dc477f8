"""Dead letters: every one counted once, the first hundred of an hour kept."""

from flows.model.dead_letter import KEPT_PER_HOUR, DeadLetter
from flows.store.protocol import DeadLetterCount, StoredDeadLetter

from .conftest import FOREVER, HOUR, NOW, letter


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
