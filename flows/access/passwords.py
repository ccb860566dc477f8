"""passwords: scrypt, with its parameters beside the digest, so that they can be raised later."""

import base64
import hashlib
import hmac
import re
import secrets

from flows.errors import BadQuery

COST, BLOCK, PARALLEL = 1 << 14, 8, 5
"""N, r, p: 16 MB and about 0.2 s on a small server; OWASP counts it as equal to N = 2^17, p = 1."""

KEPT = re.compile(
    r"scrypt\$(\d{1,6})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/]{22}==)\$([A-Za-z0-9+/]{43}=)", re.ASCII
)
"""What `digest_of` writes."""

NOBODYS = f"scrypt${COST}${BLOCK}${PARALLEL}${'A' * 22}==${'A' * 43}="
"""Compared where there is no such user, so that it takes as long. No password is known to give it."""

_MEMORY = 256 * 1024 * 1024
SHORTEST, LONGEST = 10, 1024
_SALT_BYTES = 16


def generated() -> str:
    """Make a password: 120 random bits."""
    return secrets.token_urlsafe(15)


def check_password(text: str) -> None:
    """Refuse one that is too short or too long. Raises BadQuery, which does not show it."""
    if not SHORTEST <= len(text) <= LONGEST:
        raise BadQuery("password", "…", f"must have {SHORTEST} to {LONGEST} characters")


def digest_of(password: str) -> str:
    """Write what is kept of a password: `scrypt$N$r$p$salt$digest`."""
    salt = secrets.token_bytes(_SALT_BYTES)
    made = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), _text(salt), _text(made)))


def matches(password: str, kept: str) -> bool:
    """Tell whether a password is the one kept, in constant time. Raises ValueError: nothing of ours is kept."""
    found = KEPT.fullmatch(kept)
    if found is None:
        raise ValueError("is no password as `heatpump user` writes it")
    cost, block, parallel, salt, digest = found.groups()
    made = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(made, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    secret = password.encode(errors="surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
