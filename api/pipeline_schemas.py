"""Shapes of the answers about the pipeline, for OpenAPI; what the flow tells is passed on as it is."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas import Instant

Shown = float | bool | str | None


class NodeCounters(BaseModel):
    """One step, since the start of the flow's process. Ticks and starts are not counted."""

    step: str = Field(examples=["validate"])
    node: str = Field(description="What kind of node the step is.", examples=["validate"])
    up: str = Field(description="The port that feeds it, or `journal`.", examples=["decode.items"])
    sinks: dict[str, list[str]] = Field(description="Sinks of each port; with `up` of the others, the graph.")
    taken: int = Field(alias="in", description="Items that came.")
    out: dict[str, int] = Field(description="Items given, by port; the first is the pipe.")
    rate: float = Field(description="Items that come. [1/s]")
    p99_ms: float = Field(description="Of a batch. [ms]")
    state: dict[str, int] = Field(description="Sizes: devices, dirty (minutes), open (alerts), pending.")
    state_bytes: int = Field(description="Of all of it as last saved, 0 before and of a stateless node. [bytes]")
    counts: dict[str, int] = Field(description="What it did, by a word: duplicate, dropped, late, …")
    dead: dict[str, int] = Field(description="What went to the port `dead`, by reason.")
    removed: dict[str, int] = Field(description="Fields left out, by reason.")


class JournalState(BaseModel):
    """Ingest and journal; more numbers are told than are listed here."""

    connected: bool = Field(description="Subscribed at the broker.")
    protocol: str = Field(examples=["MQTT 3.1.1"])
    problem: str = Field(description="Why not, or why nothing is taken.")
    subscribed_s: float | None = Field(description="For how long. [s]")
    last_message_s: float | None = Field(description="How long ago a message came. [s]")
    unacknowledged: int = Field(description="Messages taken and not acknowledged yet.")
    full: bool
    last_seq: int = Field(description="The newest number given out.")
    synced_seq: int = Field(description="The newest that is durable.")
    bytes: int = Field(description="All of it. [bytes]")
    free_bytes: int = Field(description="Free on its disk. [bytes]")
    room_bytes: int = Field(description="How much more it may take: limit of the disk or its own. [bytes]")
    room_s: int | None = Field(
        description="How long that lasts as the last hour went, imports apart; null before one has passed. [s]"
    )
    written_per_s: float | None = Field(description="Over the last minute; null at first. [bytes/s]")
    kept_s: int | None = Field(description="How far back it reaches, looked up once a minute. [s]")
    kept_at_most_s: int = Field(description="How long it is kept. [s]")
    sync_ms_p50: float | None = Field(description="Of the newest 1 000 commits. [ms]")
    sync_ms_p99: float | None = Field(description="Of the newest 1 000 commits. [ms]")


class StoreState(BaseModel):
    """The store sink."""

    kind: str = Field(examples=["sqlite"])
    done: int = Field(description="Rows of all kinds written.")
    rate: float = Field(description="Rows a second. [1/s]")
    p99_ms: float = Field(description="Of a batch, waiting included. [ms]")
    rows: dict[str, int] = Field(description="Rows written, by kind.")
    stored: int = Field(description="Readings that said something new.")
    unchanged: int = Field(description="Readings that said nothing new.")
    refused: int = Field(description="Readings that it will never take.")
    open: int = Field(description="Readings in batches that it does not have yet.")
    fence_behind: int = Field(description="Frames stored and not yet fenced: written again after a power loss.")
    waiting: str = Field(description="Why it waits; empty while it does not.")
    waiting_since: Instant | None
    attempts: int = Field(description="Tries since then.")
    next_try: Instant | None


class LiveState(BaseModel):
    """The live sink."""

    done: int = Field(description="Readings published.")
    rate: float = Field(description="Readings a second. [1/s]")
    p99_ms: float = Field(description="Always 0: it waits for nobody. [ms]")
    clients: int = Field(description="WebSockets open at this API.")


class Conservation(BaseModel):
    """Where readings went: received = stored + duplicate + dead + dropped + in_flight."""

    received: int
    stored: int
    duplicate: int
    dropped: int
    dead: int
    in_flight: int
    unexplained: int = Field(description="Always 0; anything else is a mistake of ours.")


class Window(Conservation):
    """What was added to each in a span; in_flight may be negative."""

    seconds: int = Field(description="How long the span is: the process may be younger. [s]")


class DevicesCount(BaseModel):
    """How many there are, counted every 5 s."""

    known: int
    online: int | None = Field(description="null while the store does not answer.")


class LettersCount(BaseModel):
    """Dead letters; GET /api/dead-letters lists those of the store."""

    since_start: int = Field(description="Messages refused since the start of the flow's process.")
    newest: Instant | None = Field(description="When the newest open one arrived; null without any.")


class Looks(BaseModel):
    """What is looked at now, because somebody asked within 10 s."""

    following: list[str] = Field(description="Devices, by `trace`.")
    watching: list[str] = Field(description="Steps, by `nodes`.")
    held: int = Field(description="Items and traces kept.")


class Pipeline(BaseModel):
    """The node graph with its counters since the start of the flow's process."""

    at: int = Field(description="When this was. [ms since 1970, UTC]")
    since: Instant = Field(description="Start of the flow's process.")
    graph: str = Field(description="Name of the graph file.", examples=["heat_pump.toml"])
    devices: DevicesCount
    journal: JournalState
    backlog: int = Field(description="Frames that are durable and not yet read.")
    unread: int = Field(description="Those that are no ticks; not in `received` yet. A message counts 1.")
    behind_ms: int = Field(description="How long ago the newest frame read came, 0 without a backlog. [ms]")
    nodes: list[NodeCounters] = Field(description="In the order of the pipe.")
    dirty: int = Field(description="Minutes and spans to compute again.")
    read_seq: int
    stored_seq: int
    committed_seq: int = Field(description="Up to here nothing is needed again after a crash.")
    store: StoreState
    live: LiveState
    dead_letters: LettersCount
    conservation: Conservation
    astray: str = Field(description="Where readings got lost, if the sum does not close: a step, or `store`.")
    taps: Looks
    received_10s: list[int] = Field(description="Readings received in each 10 s of the last hour, oldest first.")
    windows: dict[Literal["60s", "1h"], Window]


class Removed(BaseModel):
    """A field that a node left out."""

    field: str
    value: Shown
    reason: str = Field(description="Why, as far as the node tells.", examples=["sentinel"])


class Added(BaseModel):
    """A field that a node added."""

    field: str
    value: Shown


class Changed(Added):
    """A field that a node changed."""

    was: Shown


class Side(BaseModel):
    """What went to a sink because of an item."""

    port: str
    kind: str = Field(examples=["RawRow"])
    text: str = Field(description="What it says, of letters and alerts.")


class Item(BaseModel):
    """One item as it came to a node and as it left it. Texts are cut, at most 100 fields are shown."""

    step: str
    arrived: Instant = Field(description="When the journal took its frame.")
    device_id: str
    kind: str = Field(description="message, reading, status, …", examples=["reading"])
    port: str = Field(description="Where it went; empty while it waits in the node, or ended there.")
    fields_before: int | None = Field(description="How many a reading had; null of other kinds.")
    fields_after: int | None = Field(description="How many it has; of a message, its last reading.")
    removed: list[Removed]
    added: list[Added]
    changed: list[Changed]
    time: Instant | None = Field(None, description="The event time, where the node set it.")
    clock: Literal["device", "boot", "arrival"] | None = Field(None, description="Where `time` came from.")
    text: str = Field(description="Of a message its head.")
    bytes: int | None = Field(description="Of a message. [bytes]")
    made: int = Field(description="How many items it came to.")
    sides: list[Side] = Field(description="What went to sinks because of it, at most five.")


class PortText(BaseModel):
    """What a port gives."""

    port: str
    text: str


class Line(BaseModel):
    """A line of a file."""

    number: int
    text: str


class Parameters(BaseModel):
    """A step's lines of the graph file, as it was at the flow's start."""

    file: str = Field(examples=["heat_pump.toml"])
    lines: list[Line]
    in_force: dict[str, Any] = Field(description="Parameters with their defaults.")


class NodeDetail(BaseModel):
    """What a node is, and the last items that passed it since it is watched."""

    step: str
    node: str
    summary: str = Field(description="The first sentence of its docstring.")
    text: str = Field(description="What its docstring says besides.")
    takes: str = Field(alias="in")
    out: list[PortText]
    state: str
    parameters: Parameters
    items: list[Item] = Field(description="At most five, the newest first; empty at the first question.")


class TraceStep(Item):
    """What one node did to the reading that is followed."""

    ms: float = Field(description="When, since arrival. [ms]")


class Trace(BaseModel):
    """One message's way from the journal to the store, by its last reading; times count from arrival."""

    device_id: str
    seq: int = Field(description="Of its frame in the journal.")
    arrived: Instant
    topic: str
    bytes: int
    qos: int
    retained: bool
    synced_ms: float | None = Field(
        description="When it was durable, then acknowledged; null if too long ago. [ms]"
    )
    steps: list[TraceStep]
    done: bool = Field(description="The store has it, or what became of it.")
    ended: str = Field(description="The side port in which it ended before the pipe did; else empty.")
    waits_in: str = Field(description="The step in which it waits; else empty.")
    live_ms: float | None = Field(description="When the live sink published it; null: not, or not yet. [ms]")
    stored_ms: float | None = Field(description="When the store had its batch; null: not yet. [ms]")
    rows: list[str] = Field(description="Kinds of rows that were stored of it.", examples=[["RawRow"]])
