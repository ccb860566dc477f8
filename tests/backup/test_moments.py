"""A backup may be made at any moment: between and beside epochs, trims, starts, kills and the daily copy."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.backup.make import make
from flows.backup.restore import restore
from flows.backup.verify import verify
from flows.journal.retention import trim
from flows.main import run_journal
from flows.recovery import read_saved
from flows.store import open_writer
from flows.store.dump import dump
from tests.backup.conftest import Installation

pytestmark = pytest.mark.slow

STEPS = ("recovery", "store", "journal", "rest", "named")


def receive(site: Installation) -> None:
    site.more(3)


def epoch(site: Installation) -> None:
    site.run()


def half_epoch(site: Installation) -> None:
    """A kill behind a fence and before the epoch: the store is ahead of the recovery state."""
    kept = site.folder / "kept-recovery"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(site.data / "recovery", kept)
    site.run()
    shutil.rmtree(site.data / "recovery")
    kept.rename(site.data / "recovery")


def no_fence(site: Installation) -> None:
    """A kill before the fence: rows are stored that no fence tells of."""
    with closing(open_writer(site.settings.store)) as writer:
        fence = writer.fence()
    half_epoch(site)
    assert fence is not None
    with closing(open_writer(site.settings.store)) as writer:
        writer.commit_fence(fence)


def trimmed(site: Installation) -> None:
    """As housekeeping trims, were all frames old enough: never past what the recovery state needs."""
    saved = read_saved(site.data / "recovery")
    copies = [int(copy.name) for copy in (site.data / "recovery-copies").glob("*")]
    assert saved is not None
    trim(site.journal, 1 << 60, min([saved.position.seq, *copies]))


def old_copies_go(site: Installation) -> None:
    shutil.rmtree(site.data / "recovery-copies", ignore_errors=True)


def start(site: Installation) -> None:
    site.close()
    site.open()


EVENTS: dict[str, Callable[[Installation], None]] = {
    "receive": receive,
    "epoch": epoch,
    "half_epoch": half_epoch,
    "no_fence": no_fence,
    "trimmed": trimmed,
    "start": start,
    "daily_copy": Installation.copy_recovery,
    "old_copies_go": old_copies_go,
}
DURING = sorted(EVENTS.keys() - {"old_copies_go"})
"""Copies go when they are a week old: none that was made for the backup."""


@given(
    before=st.lists(st.sampled_from(sorted(EVENTS)), max_size=6),
    meanwhile=st.dictionaries(st.sampled_from(STEPS), st.lists(st.sampled_from(DURING), max_size=3), max_size=3),
    earlier=st.booleans(),
)
@example(before=["no_fence", "receive"], meanwhile={"store": ["receive", "epoch", "trimmed"]}, earlier=False)
@example(before=["half_epoch"], meanwhile={"journal": ["receive", "epoch", "trimmed", "start"]}, earlier=True)
@example(before=["daily_copy"], meanwhile={"recovery": ["start", "no_fence"], "rest": ["receive"]}, earlier=True)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_restored_goes_on_as_if_nothing_had_happened(
    before: list[str], meanwhile: dict[str, list[str]], earlier: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Installation(Path(folder))
        site.more(30)
        site.run()
        if earlier:
            make(site.settings, site.folder / "backups")
        for event in before:
            EVENTS[event](site)
        journaled = site.journal.synced_seq

        def step(name: str) -> None:
            for event in meanwhile.get(name, []):
                EVENTS[event](site)

        path, made = make(site.settings, site.folder / "backups", step=step)
        assert made.last_seq >= journaled
        site.destroy()
        assert verify(path, made).differences == []

        restore(path, made, site.settings)
        assert run_journal(site.data / "journal", site.settings.store, site.data / "recovery") == 0
        assert [*dump(site.settings.store)] == site.whole(made.last_seq)
        for recorder in site.recorders:
            recorder.close()
