"""Journal, recovery state and store can each be lost, restored or rolled back alone (docs/explanation/delivery.md)."""

import shutil
from contextlib import closing

import pytest

from flows import recovery
from flows.errors import ConfigError, StartRefused
from flows.graph import load_graph
from flows.journal.reader import JournalReader, describe
from flows.journal.retention import trim
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.rebuild import allowed_from, rebuild
from flows.settings import Settings, load_settings
from flows.store import open_reader, open_writer
from flows.store.dump import dump
from tests.influx.real import installation

from .conftest import NOW, Recorder

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path, record):
    """A data folder: journal of two halves, store and recovery state of the first."""
    data = tmp_path / "data"
    data.mkdir()
    recorder = record("data/journal", segment_bytes=4_000)
    recorder.start()
    for number in range(300):
        recorder.now += 10_000
        recorder.reading(temperature={"inlet": 30 + number / 10, "outlet": 35.0}, electrical={"power": number})
        recorder.tick()
    return Site(data, recorder)


class Site:
    def __init__(self, data, recorder):
        self.data, self.recorder = data, recorder
        self.journal, self.store = data / "journal", data / "store.sqlite"
        self.recovery, self.copies = data / "recovery", data / "recovery-copies"

    def more(self, count=100):
        for number in range(count):
            self.recorder.now += 10_000
            self.recorder.reading(temperature={"inlet": 20 + number / 10}, electrical={"power": 2 * number})
            self.recorder.tick()

    def run(self, **options):
        assert run_journal(self.journal, self.store, self.recovery, epoch_ms=100, **options) == 0

    def again(self):
        """Go on writing the journal, after what others wrote."""
        recorder = Recorder(self.journal, segment_bytes=4_000)
        recorder.now, recorder.ticks = self.recorder.now + 10_000, self.recorder.ticks
        return recorder

    def whole(self, path):
        """What one run over the whole journal gives."""
        assert run_journal(self.journal, path / "whole.sqlite") == 0
        return list(dump(path / "whole.sqlite"))

    def equals_whole(self, path):
        return list(dump(self.store)) == self.whole(path)


def test_recovery_deleted_replays_the_journal_and_changes_nothing(site, tmp_path):
    site.run()
    site.more()
    shutil.rmtree(site.recovery)
    site.run()
    assert site.equals_whole(tmp_path)


def test_yesterdays_store_restored_catches_up_from_a_copy(site, tmp_path):
    site.run()
    shutil.copy(site.store, tmp_path / "yesterday.sqlite")
    position = recovery.copy_now(site.recovery, site.copies)
    site.more()
    site.run()
    for old in site.data.glob("store.sqlite*"):
        old.unlink()
    shutil.copy(tmp_path / "yesterday.sqlite", site.store)
    with closing(Journal.open(site.journal, segment_bytes=4_000, min_free_bytes=1)) as journal:
        trim(journal, NOW + 10**12, keep_after_seq=position)
    assert describe(site.journal).first_seq > 1
    site.run()
    with closing(open_reader(site.store)) as reader:
        assert reader.stats().total_readings == 400
    assert list(site.data.glob("recovery-aside-*"))


def test_a_hole_that_nothing_covers_is_refused_with_its_hours_and_rebuild_goes_on(site, tmp_path):
    site.run()
    with closing(Journal.open(site.journal, segment_bytes=4_000, min_free_bytes=1)) as journal:
        trim(journal, NOW + 10**12, keep_after_seq=300)
    shutil.rmtree(site.recovery)
    with pytest.raises(StartRefused, match=r"begins at 2026-02-02 \d\d:\d\d UTC.*heatpump rebuild"):
        site.run()
    report = rebuild(load_settings(data=site.data))
    assert "computes all state anew" in report
    info = describe(site.journal)
    graph = load_graph(Settings().graph)
    with closing(open_writer(site.store)) as writer:
        fence = writer.fence()
    recovery.prepare(site.recovery, site.copies, graph, fence, info, allowed_from(site.data))
    with pytest.raises(StartRefused):
        recovery.prepare(site.recovery, site.copies, graph, fence, info)


def test_a_rebuild_after_trimming_keeps_metadata_and_good_rollups_and_clears_alerts_nobody_remembers(
    site, tmp_path
):
    site.recorder.command("device_put", "c1", device_id="site1", refrigerant="R410A", name="Home")
    site.recorder.reading(electrical={"current": 20.0})
    site.more()
    site.run()
    with closing(open_reader(site.store)) as reader:
        before = reader.rollups("site1", "1m", 0, 2**42, 10_000)
        assert [alert.last.state for alert in reader.alerts(None, 0, 2**42, 10, open_only=True)] == ["raised"]
    with closing(Journal.open(site.journal, segment_bytes=4_000, min_free_bytes=1)) as journal:
        trim(journal, NOW + 10**12, keep_after_seq=describe(site.journal).last_seq - 100)
    shutil.rmtree(site.recovery)
    rebuild(load_settings(data=site.data))
    later = site.again()
    later.reading(temperature={"outlet": 30.0}, pressure={"high": 280.0})
    later.tick(60)
    site.run(anew=allowed_from(site.data))
    with closing(open_reader(site.store)) as reader:
        newest = reader.readings("site1", 0, 2**42, 1)[0]
        assert newest.values["condenser_approach"] == newest.values["t_sat_high"] - 30.0
        assert reader.device("site1").metadata[0].name == "Home"
        assert reader.alerts(None, 0, 2**42, 10, open_only=True) == []
        after = reader.rollups("site1", "1m", 0, 2**42, 10_000)
    assert [(row.start, row.count, row.values) for row in after[: len(before)]] == [
        (row.start, row.count, row.values) for row in before
    ]


def test_another_journal_is_refused_and_rebuild_adopts_it(site, tmp_path, record):
    site.run()
    shutil.rmtree(site.journal)
    other = record("data/journal")
    other.now += 86_400_000
    other.reading(temperature={"inlet": 50})
    other.tick()
    other.close()
    with pytest.raises(StartRefused, match="was fed from journal"):
        site.run()
    assert "adopted" in rebuild(load_settings(data=site.data))
    site.run()
    with closing(open_reader(site.store)) as reader:
        assert reader.stats().total_readings == 301
        assert reader.device("site1").latest["temp_inlet"][1] == 50.0


def test_an_older_journal_put_in_place_is_refused(site, tmp_path):
    shutil.copytree(site.journal, tmp_path / "older")
    site.more()
    site.run()
    shutil.rmtree(site.journal)
    shutil.copytree(tmp_path / "older", site.journal)
    with pytest.raises(StartRefused, match="an older journal was put in place, or a flow on a copy of it wrote"):
        site.run()


@pytest.fixture(params=["sqlite", "influx"])
def settings(request, tmp_path):
    """Of an installation with a store of either kind."""
    data = tmp_path / "data"
    if request.param == "sqlite":
        yield load_settings(data=data)
        return
    with installation(None, None) as address:
        named = {"influxdb_url": address.url, "influxdb_token": address.token, "influxdb_bucket": address.bucket}
        yield load_settings(data=data, influxdb_retention="3650d", **named)


def test_what_a_flow_on_a_copy_stored_is_kept_and_a_rebuild_doubles_nothing_and_loses_nothing_new(
    settings, tmp_path, record
):
    def tell(recorder, name):
        """Send a reading with an alert level, a message that is no JSON, and an alert of the device's own."""
        recorder.reading(electrical={"current": 20.0})
        recorder.message("heatpump/site1/data", "{")
        recorder.message("heatpump/site1/alerts", f'{{"type": "{name}", "level": "warning"}}')
        recorder.tick()

    def run(folder):
        recovery_folder, anew = folder / "recovery", allowed_from(folder)
        assert run_journal(folder / "journal", settings.store, recovery_folder, epoch_ms=100, anew=anew) == 0

    def told():
        with closing(open_reader(settings.store)) as reader:
            events = [alert.last for alert in reader.alerts(None, 0, 2**42, 100)]
            letters = sum(each.count for each in reader.dead_letter_counts(None, 0, 2**42))
        return sorted(each.alert_type.removeprefix("device_") for each in events if each.state == "noted"), letters

    def open_of():
        with closing(open_reader(settings.store)) as reader:
            return sorted(alert.last.device_id for alert in reader.alerts(None, 0, 2**42, 100, open_only=True))

    ours = record("data/journal")
    ours.start()
    tell(ours, "ours")
    ours.close()
    run(settings.data)
    shutil.copytree(settings.data, tmp_path / "copy")
    theirs = Recorder(tmp_path / "copy" / "journal")
    theirs.now, theirs.ticks = ours.now, ours.ticks
    for number in range(3):
        tell(theirs, f"theirs{number}")
    theirs.reading("site9", electrical={"current": 20.0})
    theirs.close()
    run(tmp_path / "copy")
    with pytest.raises(StartRefused, match="a flow on a copy of it wrote into this store"):
        run(settings.data)
    assert open_of() == ["site1", "site9"]

    last = describe(settings.data / "journal").last_seq
    assert f"keeps what it has of frames {last + 1} to " in rebuild(settings)
    before = list(dump(settings.store))
    run(settings.data)
    assert list(dump(settings.store)) == before
    assert told() == (["ours", "theirs0", "theirs1", "theirs2"], 4)
    assert open_of() == ["site1"]  # what the other flow raised nobody would ever clear

    later = Recorder(settings.data / "journal")
    later.now, later.ticks = ours.now, ours.ticks
    tell(later, "later")
    later.close()
    run(settings.data)
    assert told() == (["later", "ours", "theirs0", "theirs1", "theirs2"], 5)
    with JournalReader(settings.data / "journal", 0) as reader:
        while reader.read(100):
            pass
        assert (reader.damage.regions, reader.damage.frames) == (0, 0)


def test_a_flipped_byte_in_a_middle_segment_costs_its_frame_and_no_other(site, tmp_path):
    segments = sorted(site.journal.glob("*.seg"))
    middle = segments[len(segments) // 2]
    raw = bytearray(middle.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    middle.write_bytes(raw)
    site.run()
    with closing(open_reader(site.store)) as reader:
        assert reader.stats().total_readings in (299, 300)


def test_a_renamed_step_is_refused_by_name(site, tmp_path):
    site.run()
    graph = tmp_path / "graph.toml"
    text = Settings().graph.read_text().replace("[step.clock]", "[step.watch]").replace('"clock.', '"watch.')
    graph.write_text(text)
    with pytest.raises(ConfigError, match=r"step\.clock.*renaming or removing a step is a migration"):
        site.run(graph_path=graph)


def test_state_of_a_newer_build_is_refused(site):
    site.run()
    saved = recovery.read_saved(site.recovery)
    newer = recovery.Saved(saved.position, {step: 99 for step in saved.versions})
    with pytest.raises(ConfigError, match="state version 99"):
        recovery.check_steps(newer, load_graph(Settings().graph))
