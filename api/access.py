"""access: whose a credential is: the settings' own tokens, tokens and users of the file, sessions."""

import logging
from functools import cached_property
from pathlib import Path

from flows.access import tokens
from flows.access.account import Account
from flows.access.book import Book
from flows.access.brake import Brake
from flows.access.sessions import PREFIX, Session, Sessions
from flows.errors import ConfigError
from flows.secrets import read_or_create
from flows.settings import Settings
from flows.variables import SHORTEST_TOKEN

log = logging.getLogger("heatpump.api")


class Access:
    """Resolves credentials. brake: against those who try passwords."""

    def __init__(self, settings: Settings, demands: bool) -> None:
        """Read what there is. demands: whether a credential is asked for, so that there must be one to give.

        Raises OSError where a token must be made and cannot be written.
        """
        self._secrets = settings.data / "secrets"
        self._session_key = settings.session_key.get_secret_value()
        self.brake = Brake()
        self.book = Book(settings.access_path, self._fixed(settings, demands))
        if demands:
            _ = self.sessions

    def resolve(self, text: str) -> Account | None:
        """Find whose a token or a session is; None if it is nobody's, any more."""
        if text.startswith(PREFIX):
            known = self.session(text)
            return known.account if known is not None else None
        return self.book.by_token(text)

    def session(self, text: str) -> Session | None:
        """Find whose a session is and until when."""
        try:
            return self.sessions.read(text)
        except ConfigError as error:
            log.error("a session cannot be read: %s", error)
            return None

    @cached_property
    def sessions(self) -> Sessions:
        """What signs sessions. Raises ConfigError where there is no key and none can be written."""
        if self._session_key:
            return Sessions(self._session_key, self.book)
        path = self._secrets / "session-key"
        try:
            return Sessions(read_or_create(path), self.book)
        except OSError as error:
            allowed = f"must be given where {path} cannot be written ({error.strerror})"
            raise ConfigError("HEATPUMP_SESSION_KEY", "", allowed) from None

    def _fixed(self, settings: Settings, demands: bool) -> list[Account]:
        api_token = settings.api_token.get_secret_value()
        if api_token and len(api_token) < SHORTEST_TOKEN:
            log.warning("HEATPUMP_API_TOKEN is short: it may be guessed; use one of %d characters", SHORTEST_TOKEN)
        if not api_token:
            path = self._secrets / "api-token"
            api_token = read_or_create(path) if demands else _read(path)
        made = [Account("api-token", "admin", "all", token=tokens.digest_of(api_token))] if api_token else []
        metrics_token = settings.metrics_token.get_secret_value() or self._metrics_token(demands)
        if metrics_token:
            made.append(Account("metrics-token", "metrics", "all", token=tokens.digest_of(metrics_token)))
        return made

    def _metrics_token(self, demands: bool) -> str:
        path = self._secrets / "metrics-token"
        try:
            return read_or_create(path) if demands else _read(path)
        except OSError:
            return ""  # nobody asked for metrics; a token of the file may read them, too


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
