"""A fleet of two customers: each device that is not the attacker's holds a word that stands nowhere else (SECRET).

It must come back to nobody.
"""

from collections.abc import Iterator
from contextlib import closing

import pytest

from flows.model.alert import Transition
from flows.model.dead_letter import DeadLetter
from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow
from flows.model.times import now_ms
from flows.store import open_writer
from tests.api.conftest import Api
from tests.api.penetration.attacker import ALERT, LETTER, SECRET
from tests.api.people import People, demanding, long_ago, some
from tests.filled import fill
from tests.influx import real

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


def fill_fleet(address) -> None:
    """site1 is the customer's, site3 another's."""
    now = now_ms() // SECOND * SECOND
    for i, name in enumerate(("site1", "site3")):
        word = SECRET if name == "site3" else "own"
        times = range(now - 2 * HOUR, now + 1, MINUTE)
        fill(address, times, name, metadata=[DeviceMetadata(name=word, group=name)], first_order=1 + i * 10_000)
    with closing(open_writer(address)) as writer:
        writer.apply(
            [
                DeviceRow("site3", 40_000, attributes={"version": SECRET}),
                Transition(
                    ALERT, 50_002, "site3", "voltage_high", now, now, "warning", "raised", 250.0, SECRET, now
                ),
                DeadLetter(
                    LETTER, "site3", f"heatpump/site3/{SECRET}", now, "not_json", SECRET, SECRET.encode(), 15
                ),
                DeadLetter(LETTER + 1, "", SECRET, now, "bad_topic", SECRET, SECRET.encode(), 15),
            ]
        )


@pytest.fixture(scope="module", params=["sqlite", "influxdb"])
def store(request, tmp_path_factory) -> Iterator[object]:
    if request.param == "influxdb":
        with real.installation() as address:
            fill_fleet(address)
            yield address
        return
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    fill_fleet(path)
    yield path


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    made = People(tmp_path_factory.mktemp("access") / "access.json")
    for scope in ("read", "command", "admin"):
        made.token(scope, scope, some("site1"))
    made.token("group", "admin", some(groups=("site1",)))
    made.token("over", "admin", expires=long_ago())
    made.token("gone", "admin")
    made.remove("gone")
    made.user("anna", "admin")
    return made


@pytest.fixture(scope="module")
def api(store, people, tmp_path_factory) -> Iterator[Api]:
    data = tmp_path_factory.mktemp("data")
    with demanding(people, store, data=data, metrics_token="a-token-for-metrics") as made:
        yield made
