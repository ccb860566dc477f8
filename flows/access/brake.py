"""brake: slows down who tries passwords. Bounded memory; nothing is written down."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

MOST_ENTRIES = 20_000
FORGET_S = 900.0
"""How long after the last failure all is forgotten. [s]"""


class Limit(Struct, frozen=True):
    """free: failures without a wait; longest: the wait doubles from 1 s to this. [s]"""

    free: int
    longest: float


PAIR, ADDRESS, USER = Limit(5, 60.0), Limit(20, 60.0), Limit(50, 5.0)
"""Of one address trying one name, of one address, and of all who try one name: that wait is short, so that
it shuts nobody out for long, and not at all where the user logged in from before; and it still leaves no more
than some thousand tries a day."""


class _Failures(Struct):
    count: int
    last: float


class Brake:
    """Counts failed log-ins by name, by address and by both."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[bytes, _Failures] = OrderedDict()
        self._welcome: OrderedDict[bytes, None] = OrderedDict()

    def wait(self, name: str, address: str) -> float:
        """Say how long this one has to wait before the next try, 0 for not at all. [s]"""
        pair, place, user = (self._wait(key, limit) for key, limit in _keys(name, address))
        return max(pair, place, 0.0 if _key(name, address) in self._welcome else user)

    def failed(self, name: str, address: str) -> None:
        """Remember a failure."""
        for key, _ in _keys(name, address):
            failures = self._failed.pop(key, None)
            if failures is None or self._clock() - failures.last > FORGET_S:
                failures = _Failures(0, 0.0)
            failures.count, failures.last = failures.count + 1, self._clock()
            self._failed[key] = failures
        while len(self._failed) > MOST_ENTRIES:
            self._failed.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget what this address tried by this name; what others tried still counts."""
        pair = _key(name, address)
        self._failed.pop(pair, None)
        self._welcome[pair] = None
        self._welcome.move_to_end(pair)
        while len(self._welcome) > MOST_ENTRIES:
            self._welcome.popitem(last=False)

    def _wait(self, key: bytes, limit: Limit) -> float:
        failures = self._failed.get(key)
        if failures is None or failures.count < limit.free:
            return 0.0
        asked = min(limit.longest, 2.0 ** min(failures.count - limit.free, 16))
        since = self._clock() - failures.last
        return 0.0 if since > FORGET_S else max(0.0, asked - since)


def _keys(name: str, address: str) -> tuple[tuple[bytes, Limit], ...]:
    return ((_key(name, address), PAIR), (_key("", address), ADDRESS), (_key(name, ""), USER))


def _key(name: str, address: str) -> bytes:
    """Make a key of fixed length, whatever somebody types in."""
    return hashlib.blake2b(f"{name}\0{address}".encode(errors="surrogatepass"), digest_size=16).digest()
