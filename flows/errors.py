"""Every error of ours.

HeatPumpError
  ConfigError        stops start-up: names the setting or graph line, the value, what was allowed
  JournalError       the journal cannot be trusted or used
    JournalFull      ingest stops acknowledging until there is room
    StartRefused     journal, recovery state and store do not fit together
  StoreError         the worker stops
    RetryableStoreError   the worker waits and tries again
      NoStoreYet            nothing was ever stored there
    RowRefused            one of the rows can never be stored
    StoreDamaged          the file is no longer what was written
  BackupError        a backup cannot be made, read or put back
  FlowDown           the flow does not answer its private port
    FlowRefused           it answered, and will never take this
  QueryError         an answerable mistake of a client
    DeviceNotFound · NotFound   404
    BadQuery         422
    Forbidden        403
"""

import re
from collections.abc import Sequence
from typing import Any

_SUBJECT = re.compile(r"^\w+ should ")


class HeatPumpError(Exception):
    """Base of all our errors; its text is one sentence for a person."""


class ConfigError(HeatPumpError):
    """A setting, graph file or command line that cannot be used.

    name    : of the setting, or file and line.
    value   : what it was.
    allowed : what it may be, and what to do.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name}: {value!r} {allowed}")
        self.name, self.value, self.allowed = name, value, allowed


class JournalError(HeatPumpError):
    """The journal cannot be read or written."""


class JournalFull(JournalError):
    """The journal is at its size limit, or the disk is nearly full."""


class StartRefused(JournalError):
    """Journal, recovery state and store do not fit together; says what is missing and what to do."""


class StoreError(HeatPumpError):
    """The store refused."""


class RetryableStoreError(StoreError):
    """The store is locked, full or away: the same write may succeed later.

    seconds : how long to wait at least, where it or something before it says so.
    """

    seconds: float = 0.0


class NoStoreYet(RetryableStoreError):
    """There is nothing to read yet: the first start of the flow makes the store."""


class RowRefused(StoreError):
    """A row that the store will never take (a number too large, a broken constraint); nothing was written.

    culprits : the refused rows, each with why, where the store can tell.
    reason   : of the dead letter that it becomes.
    """

    reason = "store_refused"

    def __init__(self, text: str, culprits: "Sequence[tuple[Any, RowRefused]]" = ()) -> None:
        super().__init__(text)
        self.culprits = culprits


class OutsideRetention(RowRefused):
    """Rows are older than what the store keeps, as those that are replayed late: no mistake; others are stored."""

    reason = "older_than_retention"


class StoreDamaged(StoreError):
    """The store's file is no longer what was written: a copy takes its place, or a new one."""


class BackupError(HeatPumpError):
    """A backup cannot be made, is not what it says, or cannot be put back."""


class FlowDown(HeatPumpError):
    """The flow does not answer on its private port, or takes nothing.

    why : what is wrong with it, without what to do.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(f"the flow {why}; {remedy}" if remedy else f"the flow {why}")
        self.why = why


class FlowRefused(FlowDown):
    """The flow will not take this, however often it is sent."""


class QueryError(HeatPumpError):
    """A client asked for what cannot be answered."""


class NotFound(QueryError):
    """Nothing of that name."""


class DeviceNotFound(NotFound):
    """No device of that id."""

    def __init__(self, device_id: str) -> None:
        super().__init__(f"device {device_id!r} is not known; GET /api/devices lists those that are")
        self.device_id = device_id


class Forbidden(QueryError):
    """Who asks is known, and may not do this."""


class BadQuery(QueryError):
    """A parameter out of its range.

    name, value, allowed : as a client needs them to correct the call.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name}: {value!r} {allowed}")
        self.name, self.value, self.allowed = name, value, allowed


def in_our_words(message: str) -> str:
    """Turn a sentence of Pydantic's into what we say after a value: "must be a valid integer"."""
    message = message.removeprefix("Value error, ").partition(", unable to ")[0]
    return _SUBJECT.sub("must ", message)
