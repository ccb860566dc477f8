"""What `heatpump doctor` finds of journal and store."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows.cli.finding import Finding
from flows.settings import Settings

if TYPE_CHECKING:
    from flows.journal.reader import JournalInfo
    from flows.store.protocol import Fence

MB = 1_000_000


def journal_of(settings: Settings) -> "tuple[JournalInfo | None, list[Finding]]":
    """Read all of the journal, as the pipeline would. None where there is none."""
    from flows.errors import JournalError
    from flows.journal.reader import describe

    folder = settings.data / "journal"
    if not any(folder.glob("*.seg")):
        return None, []
    try:
        journal = describe(folder)
        return journal, list(_journal(folder, journal, settings))
    except JournalError as error:
        return None, [Finding("journal", str(error), "Restore the folder from a copy, or run `heatpump rebuild`.")]


def _journal(folder: Path, journal: "JournalInfo", settings: Settings) -> Iterator[Finding]:
    from flows.journal.reader import JournalReader

    found = f"frames {journal.first_seq} to {journal.last_seq}"
    with JournalReader(folder, 0) as reader:
        while reader.read(10_000):
            pass
        damage = reader.damage
    size = sum(file.stat().st_size for file in folder.glob("*.seg")) / MB
    if not (damage.regions or damage.frames):
        yield Finding("journal", f"{found}, {size:.1f} MB")
    else:
        harm = f"{damage.regions} places are damaged ({damage.size} bytes) and {damage.frames} frames missing"
        yield Finding(
            "journal",
            f"{found}, but {harm}",
            "Check the disk. A copy of the folder may hold them; else they are lost, the rest is whole.",
        )
    if size > 0.9 * settings.journal_max_mb:
        remedy = "At its limit nothing is accepted: raise HEATPUMP_JOURNAL_MAX_MB, or keep it shorter."
        yield Finding("journal size", f"{size:.0f} MB of at most {settings.journal_max_mb}", remedy)


class Stored(NamedTuple):
    """A store that can be read: how large it is, and how far it was fed."""

    found: str
    fence: "Fence | None"


def open_store(settings: Settings) -> Stored | Finding:
    """Read the store. Before the journal: what is stored is in the journal then, not the other way round."""
    from contextlib import closing

    from flows.errors import StoreDamaged, StoreError
    from flows.store import open_reader

    if not settings.has_store:
        return Finding("store", "is not there yet; the first start makes it")
    try:
        with closing(open_reader(settings.store)) as reader:
            readings, fence = reader.stats().total_readings, reader.fence()
    except StoreDamaged as error:
        return Finding("store", str(error), "`heatpump rebuild` keeps it aside and makes one from the journal.")
    except StoreError as error:
        return Finding("store", str(error), "Until it is mended the journal keeps what arrives.")
    size = "" if settings.influxdb_url else f", {settings.store_path.stat().st_size / MB:.1f} MB"
    return Stored(f"{readings} readings{size}, fed up to frame {fence.seq if fence else 0}", fence)


def store_of(store: Stored, journal: "JournalInfo | None") -> Finding:
    """Hold the store against the journal."""
    found, fence = store
    if fence is None:
        return Finding("store", found)
    if journal is None:
        return Finding("store", f"{found}, but there is no journal", "Put it back, or run `heatpump rebuild`.")
    if journal.journal_id != fence.journal_id or fence.seq > journal.last_seq:
        return Finding(
            "store", f"{found} of another or newer journal", "Put the right one back, or run `heatpump rebuild`."
        )
    return Finding("store", found)
