"""Passwords kept with next to no work in them: what is kept says itself how much work it is, so it is as good."""

import pytest

from flows.access import passwords


def digest_of(password: str) -> str:
    """Write what is kept of a password, as `passwords.digest_of` does, which takes 0.1 s of a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", 2)
        patch.setattr(passwords, "PARALLEL", 1)
        return passwords.digest_of(password)


NOBODYS = digest_of("a word that nobody has")
"""What is compared where there is no such user."""
