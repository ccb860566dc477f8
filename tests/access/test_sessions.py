"""Sessions: whose they are, and what ends them. The brake on who guesses. Passwords as they are kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.access import file, passwords
from flows.access.account import Account
from flows.access.book import Book
from flows.access.brake import ADDRESS, FORGET_S, MOST_ENTRIES, PAIR, USER, Brake
from flows.access.sessions import LASTS, PREFIX, Sessions
from flows.errors import BadQuery
from tests.access import cheap

KEY = "k" * 32
KEPT = cheap.digest_of("a good password")


class Scene:
    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0.0
        self.put(Account("anna", "read", "all", password=KEPT))
        self.book = Book(path, (), lambda: self.at)

    def put(self, *accounts: Account) -> None:
        with file.changing(self.path) as kept:
            kept[:] = accounts

    def later(self) -> None:
        self.at += 1


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "access.json")


def test_a_session_is_its_users_for_a_week(scene):
    sessions = Sessions(KEY, scene.book)
    text, seconds = sessions.begin(scene.book.user("anna"))
    assert text.startswith(PREFIX)
    read = sessions.read(text)
    assert read.account == scene.book.user("anna")
    assert timedelta(seconds=seconds) == LASTS == timedelta(days=7)
    assert abs(read.expires - datetime.now(UTC) - LASTS) < timedelta(seconds=60)


def test_a_session_ends_with_its_user(scene):
    soon = datetime.now(UTC) + timedelta(minutes=10)
    scene.put(Account("anna", "read", "all", expires=soon, password=KEPT))
    scene.later()
    _, seconds = Sessions(KEY, scene.book).begin(scene.book.user("anna"))
    assert 590 <= seconds <= 600


def test_another_api_with_the_same_key_takes_it_and_one_with_another_does_not(scene):
    text, _ = Sessions(KEY, scene.book).begin(scene.book.user("anna"))
    assert Sessions(KEY, scene.book).read(text)
    assert Sessions("j" * 32, scene.book).read(text) is None


@pytest.mark.parametrize(
    "change", ["removed", "another password", "the same password again", "a token of that name"]
)
def test_it_ends_when_the_user_is_removed_or_gets_another_password(scene, change):
    text, _ = Sessions(KEY, scene.book).begin(scene.book.user("anna"))
    again = Account("anna", "read", "all", password=cheap.digest_of("a good password"))
    scene.put(
        *{
            "removed": (),
            "another password": (Account("anna", "read", "all", password=cheap.digest_of("another word")),),
            "the same password again": (again,),
            "a token of that name": (Account("anna", "admin", "all", token="0" * 64),),
        }[change]
    )
    scene.later()
    assert Sessions(KEY, scene.book).read(text) is None


def test_a_session_has_the_rights_of_its_user_now(scene):
    text, _ = Sessions(KEY, scene.book).begin(scene.book.user("anna"))
    scene.put(Account("anna", "admin", "all", password=KEPT))
    scene.later()
    assert Sessions(KEY, scene.book).read(text).account.scope == "admin"


def test_what_was_not_signed_is_none(scene):
    text, _ = Sessions(KEY, scene.book).begin(scene.book.user("anna"))
    payload, dot, signature = text.rpartition(".")
    for other in (
        "",
        PREFIX,
        text[:-1],
        payload + dot,
        payload[:-2] + dot + signature,
        text.removeprefix(PREFIX),
        text + "\0",
        "hps_é.é",
    ):
        assert Sessions(KEY, scene.book).read(other) is None


def test_a_password_is_kept_as_its_digest_and_found_again():
    kept = passwords.digest_of("pässword 🔥 \udcff")
    assert passwords.KEPT.fullmatch(kept) and "ssword" not in kept
    assert passwords.matches("pässword 🔥 \udcff", kept)
    assert not passwords.matches("pässword 🔥", kept)
    assert kept != passwords.digest_of("pässword 🔥 \udcff")


def test_who_is_unknown_is_compared_with_the_same_work():
    kept = passwords.digest_of("a good password")
    ours, nobodys = (text.split("$")[:4] for text in (kept, passwords.NOBODYS))
    assert ours == nobodys
    assert not passwords.matches("", passwords.NOBODYS)


def test_a_password_that_is_made_is_one_that_may_be():
    passwords.check_password(passwords.generated())
    assert passwords.generated() != passwords.generated()
    for bad in ("short", "x" * 1025):
        with pytest.raises(BadQuery) as refusal:
            passwords.check_password(bad)
        assert bad not in str(refusal.value)


class Braked:
    def __init__(self) -> None:
        self.at = 1000.0
        self.brake = Brake(lambda: self.at)

    def fail(self, times: int, name="anna", address="10.0.0.1") -> None:
        for _ in range(times):
            self.brake.failed(name, address)


def test_the_first_tries_are_free_then_the_wait_doubles_to_a_minute():
    scene = Braked()
    scene.fail(PAIR.free - 1)
    assert scene.brake.wait("anna", "10.0.0.1") == 0
    waits = []
    for _ in range(8):
        scene.fail(1)
        waits.append(scene.brake.wait("anna", "10.0.0.1"))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    scene.at += 60
    assert scene.brake.wait("anna", "10.0.0.1") == 0
    scene.at += FORGET_S
    scene.fail(1)
    assert scene.brake.wait("anna", "10.0.0.1") == 0


def test_one_address_that_tries_many_names_waits_too():
    scene = Braked()
    for i in range(ADDRESS.free + 3):
        scene.fail(1, name=f"n{i}")
    assert scene.brake.wait("somebody else", "10.0.0.1") == 8
    assert scene.brake.wait("somebody else", "10.0.0.2") == 0


def test_many_addresses_that_try_one_name_are_slowed_and_its_user_where_known_is_not():
    scene = Braked()
    scene.brake.succeeded("anna", "10.9.9.9")
    for i in range(USER.free + 10):
        scene.fail(1, address=f"10.0.1.{i}")
    assert scene.brake.wait("anna", "10.0.2.1") == USER.longest
    assert scene.brake.wait("anna", "10.9.9.9") == 0


def test_what_is_remembered_is_bounded_whatever_is_tried():
    scene = Braked()
    for i in range(MOST_ENTRIES):
        scene.brake.failed("x" * 1000 + str(i), str(i))
        scene.brake.succeeded(str(i), "y" * 1000)
    assert len(scene.brake._failed) <= MOST_ENTRIES and len(scene.brake._welcome) <= MOST_ENTRIES
