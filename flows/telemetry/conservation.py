"""Where readings went: received = stored + duplicate + dead + dropped + in flight, each counted where it happens.

Nodes and sink report batch by batch; what a batch came to counts once the store has it, until then its readings
are in flight. So the sum closes at any instant, and what it leaves unexplained is a mistake of ours.
"""

import threading
from collections import Counter
from collections.abc import Collection, Mapping

FATES = ("received", "duplicate", "dropped", "dead readings", "pending")
"""How nodes count them (see Logic.counts). A message on a data topic that cannot be read counts as one reading."""


class Conservation:
    """The books of one running graph, since the start of the process.

    Written by the flow's thread and the store's, read by others: `_books`, replaced as a whole, is what became of
    written batches, and of batches under way by seq.
    """

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._books: tuple[Counter[str], dict[int, Counter[str]]] = Counter(), {}
        self.unchanged = self.refused = 0

    def recovered(self, pending: int) -> None:
        """Begin with readings that an earlier process received and that still wait to be dated."""
        written, under_way = self._books
        self._books = written + Counter(received=pending, pending=pending), under_way

    def happened(self, seq: int, fates: Mapping[str, int]) -> None:
        """Take what one step made of a batch: numbers of readings by FATES; pending may be negative."""
        with self._writing:
            self._books[1].setdefault(seq, Counter()).update(fates)

    def written(self, seqs: Collection[int], stored: int, duplicate: int, dead: int) -> None:
        """Close batches that the store has: rows that it took, that said nothing new, that it refused for good."""
        self.unchanged += duplicate
        self.refused += dead
        with self._writing:
            written, under_way = self._books
            total = written.copy()
            for seq in seqs:
                total.update(under_way.get(seq, {}))
            total.update({"stored": stored, "duplicate": duplicate, "dead readings": dead})
            self._books = total, {other: fates for other, fates in under_way.items() if other not in seqs}

    def at_the_store(self) -> dict[str, int]:
        """Say what the store made of readings. open: of batches that it does not have yet."""
        written, under_way = self._books
        return {
            "stored": written["stored"],
            "unchanged": self.unchanged,
            "refused": self.refused,
            "open": sum(fates["received"] for fates in list(under_way.values())),
        }

    def read(self) -> dict[str, int]:
        """Sum up. in_flight: waiting in a node (see Logic.counts), or in a batch that the store does not have."""
        written, under_way = self._books
        on_the_way = sum(fates["received"] for fates in list(under_way.values()))
        sums = {
            "received": written["received"] + on_the_way,
            "stored": written["stored"],
            "duplicate": written["duplicate"],
            "dropped": written["dropped"],
            "dead": written["dead readings"],
            "in_flight": written["pending"] + on_the_way,
        }
        return {**sums, "unexplained": 2 * sums["received"] - sum(sums.values())}
