"""sessions: what a browser shows instead of a password. Signed, so that nothing of them is kept here."""

import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from flows.access.account import Account
from flows.access.book import Book

COOKIE = "heatpump_session"
PREFIX = "hps_"
LASTS = timedelta(days=7)


class Session(msgspec.Struct, frozen=True):
    """Whose it is and until when."""

    account: Account
    expires: datetime


class Sessions:
    """Makes and reads sessions. One ends when its user is removed, expires, or has another password."""

    def __init__(self, key: str, book: Book) -> None:
        """Take the key to sign with: whoever knows it can be anybody."""
        self._book = book
        digest = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        self._signer = URLSafeSerializer(key, salt="heatpump-session", signer_kwargs=digest)

    def begin(self, account: Account) -> tuple[str, int]:
        """Make the session of a user who gave the right password; and say how long it lasts. [s]"""
        expires = datetime.now(UTC) + LASTS
        if account.expires is not None:
            expires = min(expires, account.expires)
        ends = int(expires.timestamp())
        told = self._signer.dumps([account.name, _mark(account), ends])
        return PREFIX + str(told), max(0, ends - int(time.time()))

    def read(self, text: str) -> Session | None:
        """Find whose a session is; None if it is none of ours, or over."""
        if not text.startswith(PREFIX):
            return None
        try:
            told = self._signer.loads(text.removeprefix(PREFIX))
            name, mark, ends = msgspec.convert(told, tuple[str, str, int])
        except (BadData, msgspec.ValidationError):
            return None
        account = self._book.user(name)
        if account is None or not hmac.compare_digest(mark, _mark(account)) or ends <= time.time():
            return None
        return Session(account, datetime.fromtimestamp(ends, UTC))


def _mark(account: Account) -> str:
    """Tell one password of a user from the next, without telling anything of it."""
    return hashlib.sha256(account.password.encode()).hexdigest()[:32]
