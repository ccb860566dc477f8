"""The file of accounts and what is in force of it: changed, broken, gone, swapped."""

import json
import logging
import os
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.access import file, tokens
from flows.access.account import Account, DeviceSet
from flows.access.book import LOOK_EVERY_S, MISSED_EVERY_S, Book
from flows.errors import ConfigError

ADMIN = Account("api-token", "admin", "all", token=tokens.digest_of("the-first"))


class Clocks:
    """Both clocks of a book, moved by hand."""

    def __init__(self) -> None:
        self.monotonic, self.now = 100.0, datetime(2026, 2, 2, tzinfo=UTC)

    def move(self, seconds: float) -> None:
        self.monotonic += seconds
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "access.json"


def add(path: Path, name: str, **more) -> str:
    token = tokens.generated()
    given = {"scope": "read", "devices": DeviceSet(("site1",)), **more}
    with file.changing(path) as accounts:
        accounts.append(Account(name, token=tokens.digest_of(token), **given))
    return token


def book_of(path: Path, clocks: Clocks) -> Book:
    return Book(path, [ADMIN], lambda: clocks.monotonic, lambda: clocks.now)


def test_a_token_is_found_and_any_other_is_not(path, clocks):
    token = add(path, "one")
    book = book_of(path, clocks)
    assert book.by_token(token).name == "one"
    for other in ("", token[:-1], token + "x", token.upper(), tokens.digest_of(token), "\udcff", "é"):
        assert book.by_token(other) is None


def test_without_a_file_there_are_the_settings_tokens_alone(path, clocks):
    book = book_of(path, clocks)
    assert book.by_token("the-first") == ADMIN
    assert not book.has_users and book.user("api-token") is None


def test_a_token_that_was_added_is_known_at_once_and_one_revoked_is_unknown_after_a_second(path, clocks):
    book = book_of(path, clocks)
    token = add(path, "one")
    assert book.by_token(token) is None, "who guesses has the file looked at no more often than this"
    clocks.move(2 * MISSED_EVERY_S)
    assert book.by_token(token).name == "one"
    with file.changing(path) as accounts:
        accounts.clear()
    assert book.by_token(token) is not None
    clocks.move(LOOK_EVERY_S)
    assert book.by_token(token) is None


def test_a_token_that_expires_is_refused_from_that_moment_without_a_change_of_the_file(path, clocks):
    token = add(path, "one", expires=clocks.now + timedelta(hours=1))
    book = book_of(path, clocks)
    clocks.move(3_599)
    assert book.by_token(token)
    clocks.move(1)
    assert book.by_token(token) is None


BROKEN = {
    "no JSON": b"{",
    "no UTF-8": b'{"version":1,"accounts":[{"name":"\xff"}]}',
    "empty": b"",
    "another version": b'{"version":2,"accounts":[]}',
    "a misspelt field": json.dumps(
        {
            "version": 1,
            "accounts": [{"name": "a", "scope": "admin", "devices": "all", "token": "0" * 64, "expire": 1}],
        }
    ).encode(),
    "a time without a zone": json.dumps(
        {
            "version": 1,
            "accounts": [
                {
                    "name": "a",
                    "scope": "admin",
                    "devices": "all",
                    "token": "0" * 64,
                    "expires": "2099-01-01T00:00:00",
                }
            ],
        }
    ).encode(),
    "no devices named": json.dumps(
        {"version": 1, "accounts": [{"name": "a", "scope": "admin", "devices": {}, "token": "0" * 64}]}
    ).encode(),
    "two of one name": json.dumps(
        {
            "version": 1,
            "accounts": [
                {"name": "a", "scope": "admin", "devices": "all", "token": digit * 64} for digit in ("0", "1")
            ],
        }
    ).encode(),
    "a scope that cannot be given": json.dumps(
        {"version": 1, "accounts": [{"name": "a", "scope": "metrics", "devices": "all", "token": "0" * 64}]}
    ).encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_opens_nothing_keeps_the_last_good_one_and_says_so(path, clocks, caplog, text):
    token = add(path, "one")
    good = path.read_bytes()
    book = book_of(path, clocks)
    path.write_bytes(text)
    clocks.move(LOOK_EVERY_S)
    with caplog.at_level(logging.ERROR):
        assert book.by_token(token).name == "one"
        clocks.move(LOOK_EVERY_S)
        assert book.by_token(token).name == "one"
    assert len(caplog.records) == 1
    assert str(path) in caplog.text and "1 accounts read before stay in force" in caplog.text
    assert tokens.digest_of(token) not in caplog.text
    path.write_bytes(good)
    clocks.move(LOOK_EVERY_S)
    assert book.by_token(token).name == "one"
    with pytest.raises(ConfigError, match="HEATPUMP_ACCESS"):
        path.write_bytes(text)
        file.read(path)


def test_a_file_that_was_never_good_opens_nothing(path, clocks, caplog):
    path.parent.mkdir()
    path.write_bytes(b"{")
    book = book_of(path, clocks)
    assert book.by_token("") is None and book.user("") is None
    assert book.by_token("the-first") == ADMIN
    assert "0 accounts read before" in caplog.text


def test_a_folder_in_its_place_opens_nothing(path, clocks, caplog):
    path.mkdir(parents=True)
    assert book_of(path, clocks).by_token("") is None
    assert "cannot be read" in caplog.text


def test_a_file_that_is_taken_away_takes_its_accounts_with_it(path, clocks):
    token = add(path, "one")
    book = book_of(path, clocks)
    path.unlink()
    clocks.move(LOOK_EVERY_S)
    assert book.by_token(token) is None


def test_a_mounted_secret_that_is_swapped_by_its_link_is_seen(tmp_path, clocks):
    """Kubernetes: access.json → ..data/access.json, ..data → a folder of that time."""
    digests = {}
    for version in ("one", "two"):
        digests[version] = add(tmp_path / f"..{version}" / "access.json", version)
        os.utime(tmp_path / f"..{version}" / "access.json", (1, 1))
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "access.json").symlink_to("..data/access.json")
    book = book_of(tmp_path / "access.json", clocks)
    assert book.by_token(digests["one"]) and not book.by_token(digests["two"])
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    clocks.move(LOOK_EVERY_S)
    assert book.by_token(digests["two"]) and not book.by_token(digests["one"])


def test_the_file_is_its_owners_alone_and_holds_no_token(path):
    token = add(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert token not in path.read_text() and tokens.digest_of(token) in path.read_text()
    assert sorted(each.name for each in path.parent.iterdir()) == [".access.json.lock", "access.json"]


def test_many_who_add_at_once_lose_nothing(path):
    threads = [threading.Thread(target=add, args=(path, f"n{i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(account.name for account in file.read(path)) == [f"n{i}" for i in range(8)]


def test_a_change_that_fails_leaves_the_file_as_it_was(path):
    add(path, "one")
    before = path.read_bytes()
    with pytest.raises(RuntimeError), file.changing(path) as accounts:
        accounts.clear()
        raise RuntimeError
    assert path.read_bytes() == before


def test_finding_one_of_ten_thousand_tokens_takes_microseconds(path):
    tokens_made = [tokens.generated() for _ in range(10_000)]
    with file.changing(path) as accounts:
        accounts += [
            Account(f"n{i}", "read", DeviceSet((f"site{i}",)), token=tokens.digest_of(token))
            for i, token in enumerate(tokens_made)
        ]
    book = Book(path)
    best = min(_seconds(book, tokens_made[i]) for i in range(0, 10_000, 50))
    assert best < 50e-6


def _seconds(book: Book, token: str) -> float:
    begin = time.perf_counter()
    assert book.by_token(token)
    return time.perf_counter() - begin
