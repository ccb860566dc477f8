"""What `heatpump doctor` looked at, and what to do about it."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing looked at.

    remedy : what to do, "" where there is nothing.
    mere   : of a remedy: worth knowing, but nothing is wrong.
    """

    subject: str
    found: str
    remedy: str = ""
    mere: bool = False

    @property
    def state(self) -> Literal["ok", "note", "wrong"]:
        """How it is."""
        if not self.remedy:
            return "ok"
        return "note" if self.mere else "wrong"
