"""What the charts are drawn of, asked of the real API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model.times import DAY_MS, HOUR_MS, now_ms
from flows.settings import load_settings
from panel_app.api_client import ApiClient
from panel_app.charts import buckets
from panel_app.charts.panes import fields_of
from panel_app.overview_data import Charts, ask_charts, first_of
from panel_app.spans import Shown
from tests.api.conftest import running
from tests.filled import fill

MINUTE = 60_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A new device, that began some minutes ago, and one that speaks again after a silence of three days."""
    path: Path = tmp_path_factory.mktemp("store") / "store.sqlite"
    now = now_ms()
    fill(path, range(now - 5 * MINUTE, now, 10_000), "young", first_order=1)
    again = [*range(now - 4 * DAY_MS, now - 3 * DAY_MS, 5 * MINUTE), *range(now - HOUR_MS, now, 5 * MINUTE)]
    fill(path, again, "again", first_order=1_000)
    with running(load_settings(data=path.parent), path) as api:
        yield str(api.client.base_url), now


def charts(site: tuple[str, int], device_id: str, length: int) -> Charts:
    url, now = site

    async def ask() -> Charts:
        api = ApiClient(url, "")
        try:
            return await ask_charts(api, device_id, Shown(now - length, now, True, ""), fields_of())
        finally:
            await api.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("length", [6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 396 * DAY_MS])
def test_the_first_reading_of_a_new_device_is_found_in_every_span(site: tuple[str, int], length: int) -> None:
    found = charts(site, "young", length)
    bucket = {"raw": 10_000, "1m": MINUTE, "1h": HOUR_MS, "1d": DAY_MS}[found.series["resolution"]]
    assert found.first is not None
    begun = site[1] - 5 * MINUTE
    assert found.first <= begun < found.first + bucket
    assert first_of(found, begun) == begun, "a bucket does not tell better than a reading"
    assert first_of(found, None) == first_of(found, begun - 2 * DAY_MS) == found.first


def test_a_device_that_speaks_again_after_days_did_not_begin_then(site: tuple[str, int]) -> None:
    assert charts(site, "again", DAY_MS).first is None
    assert charts(site, "again", 7 * DAY_MS).first is not None


def test_of_rollups_the_energies_come_with_the_means_and_of_raw_rows_not(site: tuple[str, int]) -> None:
    rollups, raw = charts(site, "again", 7 * DAY_MS).series, charts(site, "again", DAY_MS).series
    assert (rollups["resolution"], raw["resolution"]) == ("1h", "raw")
    assert set(buckets.FIELDS) <= rollups["values"].keys()
    given = buckets.energies(rollups)
    assert given is not None
    estimated = 0.5 * 310.5 / 41.5  # of Carnot's, at 35.5 °C of water and 2 °C outdoors
    assert given[0].sum() / given[1].sum() == pytest.approx(estimated, rel=0.01)
    assert buckets.energies(raw) is None
