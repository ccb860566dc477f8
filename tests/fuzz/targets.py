"""What reads bytes that others made, by name: each takes any bytes and lets only its documented errors out.

A target that lets another exception out, or breaks what it promises, has found something.
"""

import logging
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from flows.errors import BadQuery, ConfigError, JournalError
from flows.graph import load_graph
from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally
from flows.http_port import Refused
from flows.ingest.commands import read_command
from flows.ingest.connection import topic_text
from flows.journal import frame
from flows.journal.recording import Recording
from flows.journal.topics import Topics
from flows.model.command import command_of
from flows.model.frame import Frame, FrameKind
from flows.model.history import chunk_of, payload_of
from flows.model.message import Message
from flows.nodes import decode, validate

NOW = 1_770_000_000_000
RECORDING = b"HPMRECD\n\x01\x00" + bytes(6)
SEED = frame.seed_of(bytes(16))
FOLDER = Path(__file__).parent / "corpus"
MAPPINGS = Path(__file__).parents[2] / "docs" / "how-to" / "import"

Target = Callable[[bytes], object]

logging.getLogger("heatpump").addHandler(logging.NullHandler())


def messages(data: bytes) -> None:
    """Any payload on each kind of topic: an item or a letter comes of it, and none for a mistake of ours."""
    for kind in ("data", "alerts", "status/online", "status/x"):
        out: dict[str, list[object]] = {"items": [], "dead": [], "rows": []}
        node = decode.Decode(decode.Params(), None)
        node.on_items([Frame(1, FrameKind.MESSAGE, NOW, f"heatpump/site1/{kind}", data)], out)
        letters: list[decode.DeadLetter] = out["dead"]  # type: ignore[assignment]
        assert len(out["items"]) + len(letters) == (node.counts["received"] if kind == "data" else 1)
        assert not any(letter.reason == "internal" for letter in letters), letters
        for item in out["items"]:
            if type(item) is decode.Reading:
                alike = decode.parse_reading(
                    item.text, "site1", item.order, Frame(1, FrameKind.MESSAGE, NOW), None, Counter()
                )
                alike = validate.check(alike, validate.all_spans(validate.Params()), Counter())
                assert item.sent is not None or alike.values == item.values, (item, alike)  # type: ignore[union-attr]


def topics(data: bytes) -> None:
    """Any topic."""
    topic = topic_text(data)
    assert topic.encode() is not None and Message(topic, b"", 0, False, False, 0, NOW).is_command in (True, False)
    out: dict[str, list[object]] = {"items": [], "dead": [], "rows": []}
    decode.Decode(decode.Params(), None).on_items([Frame(1, FrameKind.MESSAGE, NOW, topic, b"{}")], out)
    assert len(out["items"]) + len(out["dead"]) == 1


def frames(data: bytes) -> None:
    """A segment's bytes: `decode`, `decode_run` and `find` agree on them."""
    with suppress(frame.Incomplete, frame.Damaged, JournalError):
        one, end = frame.decode(data, 0, SEED)
        run, at = frame.decode_run(data, 0, SEED, one.seq, one.seq, Topics(bytes.decode))
        assert (run, at) == ([one], end)
        assert frame.encode(one, SEED) == data[:end]
    with suppress(JournalError):
        frame.find(data, 0, 0, SEED)


def command(data: bytes) -> None:
    """The body of POST /commands: what is taken can be journaled and read again."""
    with suppress(Refused):
        asked = read_command(data)
        body = msgspec.json.encode(asked)
        assert command_of(Frame(1, FrameKind.COMMAND, NOW, payload=body)).body == asked.body


def history(data: bytes) -> None:
    """The body of POST /history, packed or bare: what is taken has a table."""
    for body in (data, zlib.compress(data)):
        with suppress(BadQuery):
            chunk = chunk_of(body)
            assert chunk.table.values.shape == (len(chunk.table.at), len(chunk.names))
            assert chunk_of(payload_of(chunk)) == chunk


def graph(data: bytes) -> None:
    """A graph file."""
    with _file("graph.toml", data) as path, suppress(ConfigError):
        load_graph(path)


def recording(data: bytes) -> None:
    """A recording as it is; and as a part of each kind of one, with a checksum that fits."""
    head = _part(1, b'{"journal_id":"%s","start":0,"end":9,"devices":[],"version":"1"}' % (b"0" * 32))
    block = struct.pack("<QQqqI", 1, 9, 0, 9, 1)
    whole = [head, *(head + _part(kind, data) for kind in (1, 2, 3)), head + _part(2, block + zlib.compress(data))]
    for file in (data, *(RECORDING + parts for parts in [_part(1, data), *whole])):
        with _file("day.hpr", file) as path, suppress(JournalError), Recording(path) as opened_one:
            for _ in opened_one.frames():
                pass


def _part(kind: int, content: bytes) -> bytes:
    rest = struct.pack("<B3xI", kind, len(content)) + content
    return b"\xf2HPR" + struct.pack("<I", zlib.crc32(rest)) + rest


def mapping(data: bytes) -> None:
    """A mapping file, of each kind of source."""
    for kind in ("csv", "emoncms", "homeassistant", "influx"):
        with _file("map.toml", data) as path, suppress(ConfigError):
            load_mapping(path, kind)


def csv(data: bytes) -> None:
    """A CSV to import."""
    _import("csv", data, "data.csv")


def emoncms(data: bytes) -> None:
    """A feed of emoncms, as each of its kinds."""
    for name in ("1.meta", "feed_1.MYD", "1.csv", "feeds.json"):
        _import("emoncms", data, name)


def influx(data: bytes) -> None:
    """Annotated CSV or line protocol."""
    _import("influx", data, "export.csv")


def homeassistant(data: bytes) -> None:
    """A history export, or a database."""
    _import("homeassistant", data, "history.csv")


_MAPS = {
    "csv": '[source]\ntime = "time"\n[quantity.power]\nfield = "power"\n[quantity.temp_inlet]\nfield = "inlet"\n',
    "emoncms": '[quantity.power]\nfield = "1"\nunit = "W"\n',
    "influx": '[source]\nmeasurement = "hp"\n[quantity.power]\nfield = "power"\n',
    "homeassistant": '[quantity.power]\nfield = "sensor.power"\n',
}


def _import(kind: str, data: bytes, name: str) -> None:
    with _file(name, data) as path, suppress(ConfigError):
        text = path.with_name("map.toml")
        text.write_text(_MAPS[kind])
        if name == "1.meta":
            path.with_name("1.dat").write_bytes(data[16:])
        source = path.parent if kind == "emoncms" else path
        with opened(kind, str(source), load_mapping(text, kind), Tally()) as tables:
            newest = -1
            for table in tables:
                assert len(table.at) == 0 or table.at[0] > newest
                assert (table.at[1:] > table.at[:-1]).all()
                newest = int(table.at[-1]) if len(table.at) else newest


class _file:
    """A file of these bytes, for the length of a with block."""

    def __init__(self, name: str, data: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self._path = Path(self._folder.name) / name
        self._path.write_bytes(data)

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        messages, topics, frames, command, history, graph, recording, mapping, csv, emoncms, influx, homeassistant,
    )
}  # fmt: skip


def corpus(name: str) -> list[Path]:
    """List the files that are kept of a target."""
    return sorted((FOLDER / name).iterdir())
