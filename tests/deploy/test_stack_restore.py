"""A new server from .env, data/ and the backups of an old one, by the commands of docs/how-to/backup.md."""

import os
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.deployed import PASSWORD, Device, deployed
from tests.deploy.runner import needed
from tests.deploy.wire import HTTP
from tests.influxd import BINARY as INFLUXD

pytestmark = [pytest.mark.slow, needed("nginx", "mosquitto")]

PASSPHRASE = "many words that nobody guesses"


@pytest.mark.parametrize("store", ["sqlite", "influxdb"])
def test_a_new_server_goes_on_with_readings_devices_and_users_of_the_old_one(tmp_path: Path, store: str) -> None:
    if store == "influxdb" and not os.environ.get(INFLUXD):
        pytest.skip(f"NOT TRIED: a new server with InfluxDB; {INFLUXD} can name an influxd")
    with deployed(tmp_path / "machine", "--store", store) as site:
        with closing(site.device("site1")) as device:
            for inlet in (30.0, 31.0, 32.0):
                device.send(inlet=inlet)
            device.until_acknowledged()
            site.until_stored(3)
        site.make_user("anna", "--scope", "admin")
        made = ("heatpump", "backup", "/backups", "--credentials", "/backups/credentials.age")
        site.tell(*made, service="backup", stdin=f"{PASSPHRASE}\n")
        brought = tmp_path / "brought"
        shutil.copytree(site.machine.folder / "volumes" / "backups", brought, copy_function=shutil.copy2)
        for path in (brought, *brought.rglob("*")):
            os.chown(path, 10001, 10001)
        password = str(device.client.password)

        site.sh.run("docker", "compose", "down", "-v")
        site.sh.run("./setup.sh", "--no-start")
        assert set(site.machine.running) == ({"influxdb"} if store == "influxdb" else set())
        restore = (
            f"docker compose run --rm --no-deps -T -v {brought}:/backups:ro flow restore /backups "
            "--credentials /backups/credentials.age"
        )
        site.sh.run("sh", "-c", f"echo {shlex.quote(PASSPHRASE)} | {restore}")
        said = site.sh.run("./setup.sh")

        assert "shown this once" not in said, "the users are those of before"
        site.until_stored(3)
        with closing(Device("site1", "site1", password, 8883, site.ca)) as device:
            device.send(inlet=33.0)
            device.until_acknowledged()
            site.until_stored(4)
        client = site.client(base=f"http://127.0.0.1:{HTTP}")
        with client:
            headers = {"Host": "localhost", "Origin": "http://localhost"}
            form = {"name": "anna", "password": PASSWORD}
            assert client.post("/login", data=form, headers=headers).status_code == 303
        assert "all is as it should be" in site.sh.run("./setup.sh", "--check")
