"""The recorded day, replayed through the whole pipeline, gives the energies and COPs of its sessions."""

from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.replay import replay
from flows.errors import ConfigError
from flows.model.quantities import ENERGY_COLUMNS
from flows.store import open_reader
from flows.store.dump import dump
from flows.store.protocol import StoreReader
from tests.folding import Sample
from tests.recorded import RECORDING, agrees, energies, energies_between, ms, samples, sessions, whole_minute_spans

pytestmark = pytest.mark.slow

EVER = 1 << 53


def into(path: Path, *args: str, file: Path = RECORDING):
    app = typer.Typer()
    app.command()(replay)
    return CliRunner().invoke(app, [str(file), "--device-id", "daikin", "--into", str(path), *args])


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "day.sqlite"
    result = into(path)
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"stored as daikin in {path}" in result.output
    return path


@pytest.fixture
def store(replayed: Path):
    with closing(open_reader(replayed)) as reader:
        yield reader


def stored_samples(store: StoreReader, shift_ms: int = 0) -> list[Sample]:
    rows = store.readings("daikin", 0, EVER, 10_000, newest_first=False)
    return [Sample(row.at - shift_ms, row.values) for row in rows]


def test_every_row_of_the_recording_is_a_stored_reading_and_nothing_was_refused(store: StoreReader) -> None:
    stored, sent = stored_samples(store), samples()
    assert [sample.at for sample in stored] == [sample.at for sample in sent]
    assert all(sample.values.items() <= row.values.items() for row, sample in zip(stored, sent, strict=True))
    assert store.dead_letters(None, None, None, 10) == []
    assert store.stats().total_readings == 3931


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session.name)
def test_the_stored_readings_of_a_session_give_its_energies(session, store: StoreReader) -> None:
    electric, heat = energies_between(stored_samples(store), session.start, session.end)
    assert agrees(electric, session.electric_kwh)
    assert agrees(heat, session.heat_kwh)
    assert agrees(heat / electric, session.cop)


@pytest.mark.parametrize("span", whole_minute_spans(), ids=lambda span: span.name)
def test_the_minute_rows_of_a_span_give_its_energies(span, store: StoreReader) -> None:
    rows = store.rollups("daikin", "1m", span.start, span.end, 10_000)
    assert len(rows) == (span.end - span.start) // 60_000
    electric, heat = energies([row.values for row in rows])
    assert agrees(electric, span.electric_kwh)
    assert agrees(heat, span.heat_kwh)
    assert agrees(heat / electric, span.cop)


def test_hours_add_up_to_the_same_as_minutes(store: StoreReader) -> None:
    start, end = ms("2024-10-10T05:00:00Z"), ms("2024-10-11T07:00:00Z")
    hours = store.rollups("daikin", "1h", start, end, 100)
    minutes = store.rollups("daikin", "1m", start, end, 10_000)
    assert len(hours) == 26
    for column in ENERGY_COLUMNS:
        total = sum(row.values.get(column, 0.0) for row in minutes)
        assert sum(row.values.get(column, 0.0) for row in hours) == pytest.approx(total)


def test_the_first_day_is_composed_and_counts_every_reading(store: StoreReader) -> None:
    (day,) = store.rollups("daikin", "1d", 0, EVER, 10)
    assert day.start == ms("2024-10-10T00:00:00Z")
    assert day.count == sum(sample.at < ms("2024-10-11T00:00:00Z") for sample in samples())
    assert day.values["defrost_active_starts"] == 2.0


def test_the_same_replay_again_changes_nothing(replayed: Path) -> None:
    before = list(dump(replayed))
    assert len(before) > 5_000
    result = into(replayed)
    assert result.exit_code == 0, result.output
    assert list(dump(replayed)) == before


def test_another_recording_does_not_go_into_a_store_that_holds_this_one(replayed: Path, tmp_path: Path) -> None:
    before = list(dump(replayed))
    other = tmp_path / "other.csv"
    other.write_text("time_utc,power_in_w\n2024-10-10T00:00:30Z,20\n")
    result = into(replayed, file=other)
    assert isinstance(result.exception, ConfigError)
    assert "holds something else already: name a new file, or delete it" in str(result.exception)
    assert list(dump(replayed)) == before
