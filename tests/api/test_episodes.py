"""GET /api/devices/{id}/episodes, over a real store."""

from collections.abc import Iterator

import pytest

from flows.model.episode import TRACED, Episode, EpisodeRow, Retrace
from flows.settings import load_settings
from flows.store import open_writer
from tests.api.conftest import Api, running
from tests.filled import fill

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z
MINUTE, HOUR = 60_000, 3_600_000
SPAN = {"start": "2026-02-02T00:00:00Z", "end": "2026-02-03T00:00:00Z"}


def values(at: int) -> dict:
    """A cycle from 12:10 to 12:40 with a defrost from 12:20 to 12:25."""
    minute = (at - NOON) // MINUTE
    return {"compressor_running": 10 <= minute < 40, "defrost_active": 20 <= minute < 25, "power": 1200.0}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API over a store with one cycle, one defrost in it, and a change of firmware."""
    store_path = tmp_path_factory.mktemp("store") / "store.sqlite"
    fill(store_path, range(NOON, NOON + HOUR, MINUTE), values=values)
    writer = open_writer(store_path)
    change = Episode("change", NOON + HOUR, NOON + HOUR, detail="firmware 1.0.0 → 1.1.0")
    writer.apply([Retrace("site1", 1000, NOON, NOON + HOUR, TRACED, NOON), EpisodeRow("site1", 1001, change)])
    starts = [NOON, NOON, NOON + MINUTE, NOON + 2 * MINUTE, NOON + 2 * MINUTE]
    kinds = ("gap", "change", "gap", "gap", "change")
    many = zip(kinds, starts, strict=True)
    writer.apply([EpisodeRow("pages", 1, Episode(kind, start, start + MINUTE)) for kind, start in many])
    writer.close()
    with running(load_settings(data=store_path.parent), store_path) as running_api:
        yield running_api


def test_episodes_are_listed_newest_first_with_what_is_known_of_them(api):
    answer = api.get("/api/devices/site1/episodes", params=SPAN)
    assert answer.status_code == 200
    change, defrost, cycle = answer.json()
    assert change["detail"] == "firmware 1.0.0 → 1.1.0"
    assert change["electric_kwh"] is None
    assert (defrost["kind"], defrost["seconds"]) == ("defrost", 300.0)
    assert defrost["electric_kwh"] == pytest.approx(0.1)
    assert cycle["id"] == f"site1/cycle/{NOON + 10 * MINUTE}"
    assert (cycle["start"], cycle["end"]) == ("2026-02-02T12:10:00.000Z", "2026-02-02T12:40:00.000Z")
    assert (cycle["defrosts"], cycle["begun_by"], cycle["ended_by"]) == (1.0, "edge", "edge")
    assert cycle["outlet_mean"] is None


def test_a_kind_a_span_and_a_limit_choose(api):
    def kinds(**asked):
        return [each["kind"] for each in api.get("/api/devices/site1/episodes", params=SPAN | asked).json()]

    assert kinds(kind="cycle") == ["cycle"]
    assert kinds(kind="cycle, defrost") == ["defrost", "cycle"]
    assert kinds(limit=1) == ["change"]
    assert kinds(start="2026-02-02T12:24:00Z", end="2026-02-02T12:30:00Z") == ["defrost", "cycle"]
    assert kinds(start="2026-02-02T12:40:00Z", end="2026-02-02T12:50:00Z") == []


def test_an_unknown_device_is_not_found_and_an_unknown_kind_is_named(api):
    assert api.get("/api/devices/nobody/episodes").status_code == 404
    refused = api.get("/api/devices/site1/episodes", params={"kind": "nap"})
    assert refused.status_code == 422
    assert "defrost" in refused.text


@pytest.mark.parametrize(("limit", "sizes"), [(1, [2, 1, 2]), (2, [2, 3]), (3, [3, 2]), (5, [5]), (100, [5])])
def test_pages_follow_each_other_and_never_part_what_begins_together(api, limit, sizes):
    pages, asked = [], {"params": SPAN | {"limit": limit}}
    url = "/api/devices/pages/episodes"
    while url:
        answer = api.get(url, **asked)
        pages.append([each["id"] for each in answer.json()])
        link, asked = answer.links.get("next"), {}
        url = link["url"] if link else None
    assert [len(page) for page in pages] == sizes
    assert len({each for page in pages for each in page}) == 5
