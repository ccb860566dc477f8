"""Passwords as Mosquitto 2 keeps them: `$7$iterations$salt$hash`, PBKDF2 with SHA-512 (its mosquitto_passwd)."""

import base64
import hashlib
import hmac
import os
import secrets

ITERATIONS = 101
"""As mosquitto_passwd's. 256 random bits nobody guesses anyway; at a SIGHUP Mosquitto computes all anew."""
SALT_BYTES = 12


def new_password() -> str:
    """Make one: 256 random bits, letters, digits, - and _."""
    return secrets.token_urlsafe(32)


def hashed(password: str) -> str:
    """Hash a password with a salt of its own."""
    return _text(password, os.urandom(SALT_BYTES), ITERATIONS)


def fits(password: str, kept: str) -> bool:
    """Tell whether a password is the one that was hashed."""
    try:
        _, kind, iterations, salt, _ = kept.split("$")
        made = _text(password, base64.b64decode(salt), int(iterations))
    except ValueError:
        return False
    return kind == "7" and hmac.compare_digest(made, kept)


def _text(password: str, salt: bytes, iterations: int) -> str:
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"
