"""Which seconds count: those in which ingest was subscribed throughout, by the broker's own word.

A second counts when the broker answers a ping sent at its end: then the connection stood and everything that the
broker had for us before has arrived. A broker or a flow that was stopped makes no tick for the time it missed.
"""

SECOND = 1.0
LATE = 1.0
"""How long after its end a second may still be confirmed. [s]"""


class Seconds:
    """Counts in monotonic time.

    n     : number of the last second that counted.
    asked : the broker's answer is awaited.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._end: float | None = None
        self.asked = False

    def subscribed(self, now: float) -> None:
        """The subscription stands from now on."""
        self._end, self.asked = now + SECOND, False

    def lost(self) -> None:
        """The connection is gone."""
        self._end, self.asked = None, False

    def ends(self, now: float) -> bool:
        """Tell whether a second has just ended and the broker is to be asked."""
        if self._end is None or self.asked or now < self._end:
            return False
        self.asked = True
        return True

    def confirmed(self, now: float) -> bool:
        """Take the broker's answer; returns whether the second counts."""
        if self._end is None or not self.asked:
            return False
        self.asked = False
        if now - self._end > LATE:
            self._end = now + SECOND
            return False
        self._end += SECOND
        self.n += 1
        return True
