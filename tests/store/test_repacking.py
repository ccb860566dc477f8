"""A store with a column a quantity, as earlier builds wrote it, comes to hold the same in packed rows."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from flows.errors import RetryableStoreError, StoreError
from flows.model.device import DeviceMetadata
from flows.model.rollup import RollupRow
from flows.model.rows import DeviceRow, LatestRow
from flows.store import open_reader, open_writer
from flows.store.dump import dump
from flows.store.sqlite import migrations, repacking
from flows.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from tests.folding import block_of

from .conftest import FOREVER, HOUR, MINUTE, NOW, raw

ROWS = 60


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repacking, "ROWS_A_PIECE", 7)


def items(site: int) -> list:
    """What one device has stored, raw rows without what derives from them."""
    name = f"site{site}"
    raws = [
        raw(NOW + n * 10_000, 100 * n + site, name, ("device", "boot", "arrival")[n % 3], voltage=230.0 + n / 10,
            power=n / 7, **({"fan_running": n % 2 == 0} if site else {}), **({"temp_inlet": -0.5} if n % 4 else {}))
        for n in range(ROWS)
    ]  # fmt: skip
    rollups = [
        RollupRow(
            name, resolution, NOW + n * step, n, n, {"voltage_mean": 230 + n / 3, "seconds_space": 60.0}, heat
        )
        for resolution, step in (("1m", MINUTE), ("1h", HOUR), ("1d", 24 * HOUR))
        for n, heat in enumerate(["", "counter", "measured", "estimated"])
    ]
    latest = LatestRow(name, 9, {"voltage": (NOW, 230.1), "fan_running": (NOW - 5, True), "delta_t": (NOW, 5.1)})
    device = DeviceRow(name, 5, True, NOW, {"version": "1"}, [DeviceMetadata(name="Ada's")])
    return [*raws, *rollups, latest, device]


def write_wide(path: Path, sites: int) -> None:
    """Write items as the builds before packed rows did."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE migration (position INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        for position, step in enumerate(MIGRATIONS[:2]):
            step(db)
            db.execute("INSERT INTO migration VALUES (?, ?)", (position, step.__name__))
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        columns = {"raw": ["power", "voltage", "fan_running", "temp_inlet", "delta_t"]}
        columns |= {f"rollup_{part}": ["voltage_mean", "seconds_space"] for part in ("1m", "1h", "1d")}
        for table, names in columns.items():
            for name in names:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} REAL")
        db.execute("BEGIN")
        clocks, heats = ("device", "boot", "arrival"), ("counter", "measured", "estimated")
        for site in range(sites):
            db.execute("INSERT INTO device (device_id) VALUES (?)", (f"site{site}",))
            first = (site + 1) << 43
            for item in items(site):
                if isinstance(item, LatestRow):
                    db.execute(
                        "INSERT INTO latest VALUES (?, 9, ?)", (site + 1, msgspec.msgpack.encode(item.values))
                    )
                elif isinstance(item, RollupRow):
                    own = (first + item.start, item.order, item.count)
                    heat = heats.index(item.heat_source) if item.heat_source else None
                    db.execute(
                        f"INSERT INTO rollup_{item.resolution} VALUES (?, ?, ?, ?, ?, ?)",
                        (*own, heat, *item.values.values()),
                    )
                elif isinstance(item, DeviceRow):
                    metadata = msgspec.json.encode(item.metadata).decode()
                    db.execute("UPDATE device SET online = 1, online_ord = 5, last_seen = ?, last_seen_ord = 5,"
                               " metadata = ?, metadata_ord = 5 WHERE device = ?", (NOW, metadata, site + 1))  # fmt: skip
                    db.execute("INSERT INTO attribute VALUES (?, 'version', 5, '1')", (site + 1,))
                else:
                    values = [item.values.get(name) for name in columns["raw"][:-1]]
                    db.execute(
                        "INSERT INTO raw VALUES (?, ?, ?, ?, ?, ?, ?, ?, 4.4)",
                        (first + item.at, item.order, item.arrived, clocks.index(item.clock), *values),
                    )
                    db.execute("UPDATE tally SET readings = readings + 1")
        db.execute("COMMIT")


def content(path: Path, sites: int) -> list[str]:
    with closing(open_writer(path)) as writer:
        for site in range(sites):
            writer.apply([block_of([item]) if isinstance(item, RollupRow) else item for item in items(site)])
    return list(dump(path))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide store of three devices, to be copied."""
    path = tmp_path_factory.mktemp("wide") / "old.sqlite"
    write_wide(path, 3)
    return path


@pytest.fixture
def wide(written: Path, tmp_path: Path) -> Path:
    """A wide store of three devices, this test's own."""
    return Path(shutil.copy(written, tmp_path))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the store of three devices is to hold."""
    return content(tmp_path_factory.mktemp("new") / "new.sqlite", 3)


def test_what_it_held_is_all_there_packed(wide, held):
    open_writer(wide).close()
    found = list(dump(wide))
    assert found == held
    assert sum(line.startswith("raw ") for line in found) == 3 * ROWS


def test_the_columns_of_quantities_are_gone_with_what_they_held(tmp_path):
    path = tmp_path / "old.sqlite"
    write_wide(path, 1)
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('raw')")]
        wide = db.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%wide%'").fetchall()
    assert (names, wide) == (["key", "ord", "late", "clock", "body"], [])


@pytest.mark.parametrize("pieces", [0, 1, 12, 25, 27, 28, 30])
def test_killed_between_any_two_pieces_it_goes_on_where_it_was(wide, held, monkeypatch, pieces):
    move, left = repacking._move_piece, iter(range(pieces))

    def killed(db: sqlite3.Connection, table: str) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return move(db, table)

    monkeypatch.setattr(repacking, "_move_piece", killed)
    with pytest.raises(KeyboardInterrupt):
        open_writer(wide)
    with closing(open_reader(wide)) as reader, pytest.raises(RetryableStoreError, match="older than this build"):
        reader.ping()
    monkeypatch.setattr(repacking, "_move_piece", move)
    open_writer(wide).close()
    assert list(dump(wide)) == held


def test_it_can_be_written_on_and_columns_added(tmp_path):
    path = tmp_path / "old.sqlite"
    write_wide(path, 1)
    with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
        writer.apply([raw(NOW, 9000, "site0", temp_dhw=50.0)])
        assert reader.readings("site0", NOW, NOW + 1, 1)[0].values == {
            "voltage": 230.0,
            "power": 0.0,
            "temp_dhw": 50.0,
        }
        assert reader.stats().total_readings == ROWS == len(reader.readings("site0", 0, FOREVER, 1000))


def test_a_build_that_does_not_know_packed_rows_refuses_the_file(tmp_path, monkeypatch):
    path = tmp_path / "old.sqlite"
    open_writer(path).close()
    monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:2])
    with pytest.raises(StoreError, match="newer build"):
        open_writer(path)
