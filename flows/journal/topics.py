"""Topics decoded once, not with each message; all messages of a topic share one text."""

from collections.abc import Callable

MOST = 20_000
LONGEST = 256
"""A longer topic is decoded each time, so that the memory has a bound. [bytes]"""


class Topics(dict[bytes, str]):
    """Texts by their bytes; `topics[data]` decodes what it does not know yet."""

    def __init__(self, decode: Callable[[bytes], str]) -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, data: bytes) -> str:
        text = self._decode(data)
        if len(data) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[data] = text
        return text
