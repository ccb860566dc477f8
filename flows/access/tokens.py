"""tokens: 256 random bits each; only their digest is kept."""

import hashlib
import secrets

PREFIX = "hpm_"
"""By which people and secret scanners know one."""


def generated() -> str:
    """Make a token."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Give what is kept of a token. So many random bits need no slow digest."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
