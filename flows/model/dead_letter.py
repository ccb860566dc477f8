"""What was refused, and why: kept with its original, never lost unseen."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """One refused message or reading.

    order     : journal seq * ORDER_STEP + index in the message; its identity.
    device_id : from the topic; "" where the topic names no valid device.
    reason    : one word, e.g. empty, not_json, device_mismatch, older_than_retention.
    detail    : one sentence for a person.
    payload   : the original bytes, at most 16 kB of their head.
    size      : length of the original. [bytes]
    """

    order: int
    device_id: str
    topic: str
    arrived: int
    reason: str
    detail: str
    payload: bytes
    size: int


KEPT_BYTES = 16_384
"""How much of a refused original is kept."""

KEPT_PER_HOUR = 100
"""How many originals are kept per device, reason and hour; the rest are counted."""
