"""Which messages a broker sends again though we have journaled them.

We acknowledge after the journal is synced, so whatever cuts the connection in between makes the broker send
again. What it sends again is journaled once all the same, by these rules:

- Only messages count of which the broker may not know that we have them. It answers a ping after it has taken
  all that we sent before, so each answered ping (after a restart: each tick in the journal) confirms what was
  acknowledged before it.
- Where the broker marks redeliveries (DUP; Mosquitto), packet id and content must be those of such a message.
  Mosquitto gives a packet id to no other message before it is acknowledged.
- A broker without DUP (rumqttd) sends again, before anything else and in order, all from the first message on
  that it has no acknowledgement of, numbered 1, 2, 3 … or as before. So the first messages of a resumed session
  are held, neither journaled nor acknowledged, while they repeat our newest ones. If they do so up to the very
  last, they are redeliveries; if one differs, or the broker answers a ping first, all of them are new.

So a new message is taken for an old one only where a broker without DUP sends, first after a reconnect, exactly
the bytes of the last one before it. In doubt a message is journaled twice: a reading with a timestamp or `seq`
changes nothing the second time.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from flows.model.message import Message

MOST = 4_096
"""More messages than any broker sends without an acknowledgement, and than we take between two pings."""


class _Sent(msgspec.Struct, frozen=True, gc=False):
    packet_id: int
    content: int
    retain: bool


def _sent(message: Message) -> _Sent:
    content = hash((message.topic, message.payload, message.original_bytes))
    return _Sent(message.packet_id, content, message.retain)


class Redeliveries:
    """Judges messages of QoS 1; count: those recognised."""

    def __init__(self, unconfirmed: Iterable[Message] = ()) -> None:
        self.count = 0
        self._unconfirmed: deque[_Sent] = deque(maxlen=MOST)
        self.journaled(unconfirmed)
        self._asked = 0
        self._known: set[tuple[int, int]] = set()
        self._sequence: list[_Sent] = []
        self._places: list[int] = []
        self._received = 0
        self._held: list[Message] = []

    def connected(self, session_present: bool) -> None:
        """A connection began; what was held of the one before will come again."""
        if not session_present:
            self._unconfirmed.clear()
        self._held.clear()
        self._received = self._asked = 0
        self._known = {(sent.packet_id, sent.content) for sent in self._unconfirmed}
        self._sequence = [sent for sent in self._unconfirmed if not sent.retain]
        self._places = list(range(len(self._sequence)))

    def journaled(self, messages: Iterable[Message]) -> None:
        """Messages of QoS 1 were journaled; their acknowledgement follows."""
        self._unconfirmed.extend([_sent(message) for message in messages])

    def ping_sent(self) -> None:
        """A ping was sent after the acknowledgements of everything journaled."""
        self._asked = len(self._unconfirmed)

    def ping_answered(self) -> list[Message]:
        """The ping was answered: the broker knows; returns what was held, all of it new."""
        for _ in range(min(self._asked, len(self._unconfirmed))):
            self._unconfirmed.popleft()
        self._asked = 0
        return self._give_up()

    def all_new(self, messages: list[Message]) -> bool:
        """Tell, of the next messages, whether none need be judged: the ordinary case."""
        return not self._places and not any([message.dup for message in messages])

    def judge(self, message: Message) -> tuple[list[Message], list[Message]]:
        """Take the next message; returns which of the held and this one are known, and which are new."""
        sent = _sent(message)
        self._received += 1
        if message.dup:
            new = self._give_up()
            if (sent.packet_id, sent.content) in self._known:
                self.count += 1
                return [message], new
            return [], [*new, message]
        if message.retain or message.is_command:
            if not self._held:
                return [], [message]
            self._held.append(message)
            return [], []
        self._places = [place for place in self._places if self._repeats(sent, self._sequence[place])]
        if not self._places:
            return [], [*self._give_up(), message]
        self._held.append(message)
        if self._places[-1] < len(self._sequence) - 1:
            self._places = [place + 1 for place in self._places]
            return [], []
        known, self._held, self._places = self._held, [], []
        self.count += len(known)
        return known, []

    def _repeats(self, sent: _Sent, before: _Sent) -> bool:
        return sent.content == before.content and sent.packet_id in (before.packet_id, self._received)

    def _give_up(self) -> list[Message]:
        held, self._held, self._places = self._held, [], []
        return held
