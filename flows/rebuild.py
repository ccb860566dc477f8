"""`heatpump rebuild`: compute all state anew from what the journal holds, when the start rules refuse.

The store keeps what it has; frames that it has already are applied again and change nothing. Devices' metadata
are journaled anew, and alerts that frames raised which the journal does not hold are cleared. A damaged store is
set aside. What is neither in the store nor in the journal stays missing: the report names it.
"""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec

from flows import recovery
from flows.errors import StartRefused, StoreDamaged
from flows.journal.reader import describe
from flows.journal.writer import Journal
from flows.lock import locked
from flows.model.command import CommandRequest
from flows.model.frame import FrameKind
from flows.model.reading import ORDER_STEP
from flows.model.rows import StoreItem
from flows.model.times import now_ms
from flows.recovery import Position
from flows.settings import Settings
from flows.store import check_store, open_reader, open_writer
from flows.store.protocol import Fence, StoreReader

MARK = "rebuilt.json"
MOST_ALERTS = 1_000_000
LATEST_MS = 1 << 43
UNFENCED_FRAMES = 10_000_000
"""More frames than an epoch can hold: what a store may have beyond its fence."""


def rebuild(settings: Settings) -> str:
    """Set recovery state aside and let the next start replay the whole journal; return a report.

    A journal other than the store's is adopted: its frames count as newer than everything stored. Where it is the
    store's, but ends before what the store has (its newest segment was lost, a flow on a copy of it wrote into the
    store), its frames keep their numbers, and only what is written from now on counts as newer. A damaged store is
    set aside, and the next start makes one.
    Raises StartRefused while a flow runs or where there is nothing to rebuild from.
    """
    data = settings.data
    if not data.is_dir():
        raise StartRefused(f"there is no data folder {data}: nothing to rebuild; name it with --data")
    with locked(data / "lock"):
        journal = Journal.open(data / "journal")
        info = held = describe(data / "journal")
        aside = None if settings.influxdb_url else _set_damaged_aside(settings.store_path)
        writer = open_writer(settings.store)
        try:
            fence = writer.fence()
            adopted = fence is not None and fence.journal_id != info.journal_id
            base = fence.base if fence else 0
            if fence is not None and adopted:
                base += fence.seq + UNFENCED_FRAMES
            elif fence is not None and fence.seq > held.last_seq:
                # The store has frames of the next numbers that are not here: another frame that got one of these
                # would count as stored already. A higher base would move the frames that the store has, too.
                journal.close()
                journal = Journal.open(data / "journal", above=fence.seq + UNFENCED_FRAMES)
                info = describe(data / "journal")
            first = Position(info.journal_id, info.first_seq - 1)
            with closing(open_reader(settings.store)) as reader:
                _carry_metadata(reader, journal)
                known = range((base + held.first_seq) * ORDER_STEP, (base + held.last_seq + 1) * ORDER_STEP)
                writer.apply(_clears(reader, known, (base + info.last_seq + 1) * ORDER_STEP))
            writer.commit_fence(Fence(info.journal_id, first.seq, base))
        finally:
            writer.close()
            journal.close()
        recovery.set_aside(data / "recovery")
        recovery.set_aside(data / "recovery-copies")
        (data / MARK).write_bytes(msgspec.json.encode(first))
    report = _report(held.first_seq, held.last_seq, held.first_arrived, fence, adopted)
    return f"{report} {_kept(aside, held.first_arrived)}" if aside else report


def _carry_metadata(reader: StoreReader, journal: Journal) -> None:
    """Journal what the store knows of devices again: the commands that said so may be trimmed."""
    for device in reader.devices(with_latest=False):
        for entry in device.metadata:
            body = {"device_id": device.device_id, **msgspec.to_builtins(entry)}
            request = CommandRequest(f"rebuild-{uuid4()}", "heatpump rebuild", "device_put", body)
            journal.append(FrameKind.COMMAND, now_ms(), payload=msgspec.json.encode(request))
    journal.commit()


def _clears(reader: StoreReader, known: range, order: int) -> list[StoreItem]:
    """Clear alerts that no frame of the journal raised: nobody remembers them; what still holds is raised again.

    known : the orders of what the journal holds.
    order : of the clears, above all that is stored.
    """
    now = now_ms()
    return [
        msgspec.structs.replace(alert.last, order=order, at=now, arrived=now, state="cleared", value=None)
        for alert in reader.alerts(None, 0, LATEST_MS, MOST_ALERTS, open_only=True)
        if int(alert.last.id.rpartition("/")[2]) not in known
    ]


def allowed_from(data: Path) -> Position | None:
    """Say where a rebuild allowed to begin without the past."""
    try:
        return msgspec.json.decode((data / MARK).read_bytes(), type=Position)
    except FileNotFoundError:
        return None


def _set_damaged_aside(store: Path) -> Path | None:
    """Move a damaged store, with its write-ahead log, into a folder of its own; None where it is sound."""
    if not store.exists():
        return None
    try:
        check_store(store)
        open_writer(store).close()
    except StoreDamaged:
        aside = store.with_name(f"store-aside-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        aside.mkdir(mode=0o700)
        for file in sorted(store.parent.glob(f"{store.name}*"), reverse=True):  # the database last
            file.rename(aside / file.name)
        return aside
    return None


def _kept(aside: Path, first_arrived: int | None) -> str:
    text = f"The store was damaged and is kept in {aside}"
    return f"{text}; what arrived before {_clock(first_arrived)} is only there." if first_arrived else f"{text}."


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _report(first: int, last: int, first_arrived: int | None, fence: Fence | None, adopted: bool) -> str:
    text = f"The next start computes all state anew from the journal's frames {first} to {last}."
    if adopted:
        text += " The journal is another one than the store was fed from; it is adopted."
    elif fence is not None and fence.seq > last:
        text += f" The store keeps what it has of frames {last + 1} to {fence.seq}, which are not in the journal."
    elif fence is not None and fence.seq + 1 < first and first_arrived is not None:
        when = _clock(first_arrived)
        text += f" Missing for good: frames {fence.seq + 1} to {first - 1}, which arrived before {when}."
    return text
