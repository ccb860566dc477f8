"""What an import replaces where rows exist: its equals and poorer ones, never richer ones."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows.history.client import chunk_from
from flows.model.history import payload_of
from flows.model.times import DAY_MS
from flows.store import open_reader
from tests.history.test_import_oracle import NOON, Flow, table_of

HOUR = 3_600_000
MINUTE = 60_000
AGES = {"older than minutes": 200 * DAY_MS, "older than raw rows": 60 * DAY_MS}
Import = Callable[[str, int, float], dict[str, dict[int, float]]]


@pytest.fixture(params=AGES.values(), ids=AGES)
def bring(request: pytest.FixtureRequest, tmp_path: Path):
    """Import five hours of a power that was so long ago; returns its stored means by resolution and start."""
    flow = Flow(tmp_path / "store.sqlite", NOON + request.param, 30 * DAY_MS, 90 * DAY_MS)

    def run(import_id: str, step: int, power: float) -> dict[str, dict[int, float]]:
        samples = {at: {"power": power} for at in range(NOON, NOON + 5 * HOUR + 1, step)}
        payloads = [
            payload_of(chunk_from(import_id * 32, "d", 0, "test", table_of(samples))),
            payload_of(chunk_from(import_id * 32, "d", 1, "test")),
        ]
        flow.feed(payloads, 1)
        with closing(open_reader(tmp_path / "store.sqlite")) as reader:
            return {
                resolution: {
                    row.start: row.values["power_mean"]
                    for row in reader.rollups("d", resolution, 0, 1 << 43, 9999)
                }
                for resolution in ("1m", "1h", "1d")
            }

    yield run
    flow.writer.close()


def means(stored: dict[str, dict[int, float]]) -> set[float]:
    return {round(mean, 9) for rows in stored.values() for mean in rows.values()}


def test_a_coarse_import_spoils_no_richer_row_and_a_corrected_one_replaces_its_equals(bring: Import):
    good = bring("a", MINUTE, 1000.0)
    assert len(good["1h"]) == 5
    assert bring("b", 10 * MINUTE, 5.0)["1h"] == good["1h"]
    assert bring("b", 10 * MINUTE, 5.0)["1d"] == good["1d"]
    corrected = bring("c", MINUTE, 1200.0)
    assert means(corrected) == {1200.0}


def test_a_finer_import_replaces_a_coarse_one(bring: Import):
    assert means(bring("a", 10 * MINUTE, 5.0)) == {5.0}
    assert means(bring("b", MINUTE, 1000.0)) == {1000.0}
