"""History of another system on its way into the journal: chunks of readings of one device, oldest first."""

import zlib

import msgspec
import numpy as np

from flows.errors import BadQuery
from flows.model.device import DEVICE_ID
from flows.model.frame import Frame
from flows.model.quantities import BY_NAME
from flows.model.reading import ORDER_STEP
from flows.model.table import Table, Times

MOST_READINGS = 5_000
"""In a chunk; they are numbered within ORDER_STEP."""

MOST_BYTES = 1_000_000
"""Of a chunk as it is sent and journaled."""

OLDEST_MS = 946_684_800_000
"""2000-01-01: nothing measured before it is taken. [ms since 1970, UTC]"""

_MOST_UNPACKED = 8 * MOST_READINGS * (len(BY_NAME) + 2)


class Chunk(msgspec.Struct, frozen=True):
    """Readings of one device.

    import_id : of the import it belongs to: 32 hex digits, from device, source and mapping.
    number    : of the chunk in its import, from 0.
    source    : what it was read from, for people.
    last      : nothing follows: what is open may be closed.
    names     : quantities.
    at        : event times as int64, strictly ascending. [ms since 1970, UTC]
    values    : float64, a column after the other; NaN is a missing value, a flag is 0 or 1.
    """

    import_id: str
    device_id: str
    number: int
    source: str
    last: bool
    names: tuple[str, ...]
    at: bytes
    values: bytes

    @property
    def table(self) -> Table:
        """The readings as columns."""
        at = np.frombuffer(self.at, np.int64)
        return Table(at, self.names, np.frombuffer(self.values).reshape(len(self.names), len(at)).T)


class History(msgspec.Struct, frozen=True):
    """A journaled chunk. arrived: [ms since 1970, UTC]; payload: see `chunk_of`."""

    seq: int
    arrived: int
    device_id: str
    payload: bytes

    @property
    def order(self) -> int:
        """Order of its first reading, see Reading."""
        return self.seq * ORDER_STEP


class Imported(msgspec.Struct, frozen=True):
    """History is among a device's raw rows, beside what the stream brings or newer than it.

    newest : event time of its newest reading. [ms since 1970, UTC]
    """

    device_id: str
    newest: int


class Standing(msgspec.Struct):
    """How far an import has come, and what it came to.

    next    : number of the chunk that is wanted.
    at      : event time of the newest reading that came, −1 before the first. [ms since 1970, UTC]
    ended   : its last chunk was taken.
    read    : readings that came in chunks.
    taken   : those of which at least one value was kept.
    refused : the others, by reason.
    removed : values left out, by "quantity: reason".
    kwh     : electricity and heat by month of the site, such as "2025-01". [kWh]
    """

    next: int = 0
    at: int = -1
    ended: bool = False
    read: int = 0
    taken: int = 0
    refused: dict[str, int] = {}
    removed: dict[str, int] = {}
    kwh: dict[str, tuple[float, float]] = {}


def payload_of(chunk: Chunk) -> bytes:
    """Encode a chunk as it is sent and journaled: msgpack, deflated."""
    return zlib.compress(msgspec.msgpack.encode(chunk), 1)


_decoder = msgspec.msgpack.Decoder(Chunk)


def chunk_of(payload: bytes) -> Chunk:
    """Read and check a chunk. Raises BadQuery that names what is wrong."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, _MOST_UNPACKED)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise BadQuery("chunk", len(payload), f"bytes hold more than {_MOST_UNPACKED}, or are cut off")
        chunk = _decoder.decode(data)
    except (zlib.error, msgspec.DecodeError, UnicodeError) as error:
        raise BadQuery("chunk", len(payload), f"bytes are no deflated msgpack of a chunk: {error}") from None
    _check(chunk)
    return chunk


def _check(chunk: Chunk) -> None:
    if not DEVICE_ID.fullmatch(chunk.device_id):
        raise BadQuery("device_id", chunk.device_id[:80], "must be 1 to 64 letters, digits, _ . or -")
    if len(chunk.import_id) != 32 or not chunk.import_id.isalnum():
        raise BadQuery("import_id", chunk.import_id[:80], "must be 32 hex digits")
    if not 0 <= chunk.number < 1 << 40:
        raise BadQuery("number", chunk.number, "must count from 0")
    unknown = [name for name in chunk.names if name not in BY_NAME or BY_NAME[name].origin != "payload"]
    if unknown or len(set(chunk.names)) != len(chunk.names):
        raise BadQuery("names", ", ".join(unknown)[:80], "must be quantities that devices send, each once")
    count = len(chunk.at) // 8
    if len(chunk.at) % 8 or len(chunk.values) != len(chunk.at) * len(chunk.names) or count > MOST_READINGS:
        raise BadQuery("at", count, f"readings must be at most {MOST_READINGS}, with a value a name and reading")
    at: Times = np.frombuffer(chunk.at, np.int64)
    if count and (at[0] < 0 or at[-1] >= 1 << 43 or not (at[1:] > at[:-1]).all()):
        raise BadQuery("at", int(at[0]), "must be followed by later times only, from 1970 to 2248")


def history_topic(device_id: str) -> str:
    """Name the topic under which a device's history is journaled."""
    return f"heatpump/{device_id}/history"


def history_of(frame: Frame) -> History:
    """Read a chunk's frame, not yet the chunk."""
    return History(frame.seq, frame.arrived, frame.topic.split("/")[1], frame.payload)
