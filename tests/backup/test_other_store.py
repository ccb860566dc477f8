"""A backup of one kind of store fills one of the other kind, and back: on a real InfluxDB."""

import os
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from flows.backup.make import make
from flows.backup.restore import restore
from flows.backup.verify import verify
from flows.errors import BackupError
from flows.main import run_journal
from flows.settings import Settings
from flows.store.dump import dump
from tests.backup.conftest import Installation
from tests.influx.real import TOKEN, URL, installation

pytestmark = pytest.mark.slow


@pytest.fixture
def on_server(installation_: Installation) -> Iterator[Settings]:
    """The same installation's settings, but with an empty server store."""
    with installation() as address:
        named = {
            "influxdb_url": os.environ[URL],
            "influxdb_token": SecretStr(os.environ.get(TOKEN, "")),
            "influxdb_bucket": address.bucket,
        }
        yield installation_.settings.model_copy(update=named)


@pytest.fixture
def installation_(request: pytest.FixtureRequest) -> Installation:
    made = request.getfixturevalue("installation")
    assert isinstance(made, Installation)
    return made


def go_on(settings: Settings) -> list[str]:
    """Let a flow go on from what was restored."""
    assert run_journal(settings.data / "journal", settings.store, settings.data / "recovery", epoch_ms=100) == 0
    return [*dump(settings.store)]


def test_there_and_back(installation_: Installation, on_server: Settings) -> None:
    site, backups = installation_, installation_.folder / "backups"
    path, made = make(site.settings, backups)
    site.destroy()

    class Killed(Exception):
        pass

    def step(name: str) -> None:
        if name == "recovery":
            raise Killed

    with pytest.raises(Killed):
        restore(path, made, on_server, step=step)
    restore(path, made, on_server)
    there = go_on(on_server)

    again, of_server = make(on_server, site.folder / "of-server")
    assert of_server.store == "influxdb" and of_server.readings == made.readings + 20
    found = verify(again, of_server)
    assert found.differences == [] and found.rollups > 100

    with pytest.raises(BackupError, match="is not empty: it has journal"):
        restore(again, of_server, on_server)
    home = site.settings.model_copy(update={"data": site.folder / "home"})
    restore(again, of_server, home)
    back = go_on(home)
    assert back == site.whole(made.last_seq)
    assert len(there) == len(back)

    elsewhere = on_server.model_copy(update={"data": site.folder / "elsewhere"})
    with pytest.raises(BackupError, match="are not empty: it has 2 devices"):
        restore(again, of_server, elsewhere)
