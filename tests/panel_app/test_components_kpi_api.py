"""The figures of a real store, asked of the real API with the questions of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model.device import DeviceMetadata
from flows.model.times import now_ms
from flows.settings import load_settings
from panel_app.components.kpi import kpi_cards
from panel_app.components.kpi_requests import comparison, cop_request, kpi_requests
from panel_app.components.kpi_sums import cop_of, sums_of
from panel_app.words import at, zone_of
from tests.api.conftest import Api, running
from tests.filled import fill

MINUTE, DAY = 60_000, 86_400_000


def zone_at_midday(now: int) -> str:
    """Name a zone in which it is between 11:00 and 13:00 now."""
    offset = 12 - at(now, "UTC").hour
    return f"Etc/GMT{'-' if offset >= 0 else '+'}{abs(offset)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, int]]:
    """A device that ran all of today at COP 4.186, and all of the same day a week before at 3.349."""
    path: Path = tmp_path_factory.mktemp("store") / "store.sqlite"
    now = now_ms()

    def values(when: int):
        outlet = 35.0 if when > now - DAY else 34.0
        return {
            "temp_outlet": outlet,
            "temp_inlet": 30.0,
            "flow_rate": 12.0,
            "power": 1000.0,
            "temp_ambient": outlet - 30.0,
            "compressor_running": when // MINUTE % 60 != 30,
        }

    times = [*range(now - 8 * DAY, now - 6 * DAY, MINUTE * 5), *range(now - DAY, now + 1, MINUTE)]
    fill(path, times, values=values, metadata=[DeviceMetadata(timezone=zone_at_midday(now), spf_boundary="H4")])
    with running(load_settings(data=path.parent), path) as api:
        yield api, now


def test_the_figures_are_those_of_the_readings(site):
    api, now = site
    status = api.get("/api/devices/site1/status").json()
    hours = comparison(now, zone_of(status["metadata"]["timezone"]))
    answers = {}
    for request in kpi_requests(hours):
        answer = api.get(f"/api/devices/site1/{request.route}", params=request.params)
        assert answer.status_code == 200, answer.text
        answers[request.key] = answer.json()
    today = sums_of([answer for key, answer in answers.items() if key.startswith("today")], hours.today)
    then = sums_of([answer for key, answer in answers.items() if key.startswith("then")], hours.then)
    length_h = (hours.today.end - hours.today.start) / 3_600_000
    assert sum(today.electric.values()) == pytest.approx(length_h, rel=0.005)
    assert sum(then.electric.values()) == pytest.approx(length_h, rel=0.005)
    assert today.cop("space") == pytest.approx(4.186, rel=1e-6)
    assert then.cop("space") == pytest.approx(3.3488, rel=1e-6)
    assert (today.coverage, then.coverage) == (1.0, 1.0)
    assert today.starts == pytest.approx(length_h, abs=1)
    assert (today.ambient, then.ambient) == (pytest.approx(5.0), pytest.approx(4.0))
    html = kpi_cards(status, hours, answers)
    assert "measured" in html and "H4" in html and "too little data" not in html


def test_the_cop_of_the_last_half_hour_is_that_of_the_readings(site):
    api, now = site
    request = cop_request(now)
    cop = cop_of(api.get(f"/api/devices/site1/{request.route}", params=request.params).json(), now)
    assert cop is not None and cop.origin == "measured"
    assert cop.value == pytest.approx(4.186, rel=0.05)
