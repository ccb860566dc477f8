"""A message: what an MQTT broker delivered, before it is journaled."""

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """What the broker delivered.

    arrived        : by the server's clock. [ms since 1970, UTC]
    original_bytes : length before the payload was cut to its head, else 0.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    arrived: int
    original_bytes: int = 0

    @property
    def is_command(self) -> bool:
        """Tell whether we wrote it ourselves, to a device."""
        if not self.topic.endswith("/commands"):
            return False
        levels = self.topic.split("/", 3)
        return len(levels) == 3 and levels[0] == "heatpump"
