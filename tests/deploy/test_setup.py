"""setup.sh with a stand-in for docker: real openssl, real `heatpump`; what it cannot show says stand_in_docker.py."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.site import ROOT, Site

pytestmark = pytest.mark.slow

TOOLS = ("bash", "cat", "dirname", "grep", "tail", "head", "sort", "cut", "awk", "stat", "openssl")
ORIGINAL = """INFLUXDB_USER=admin
INFLUXDB_PASSWORD=heatpump123
INFLUXDB_ORG=heatpump
INFLUXDB_BUCKET=sensor_data
INFLUXDB_RETENTION=30d
INFLUXDB_TOKEN=heatpump-super-secret-token

# MQTT
MQTT_USER=heatpump
MQTT_PASSWORD=heatpump123
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, str]:
    """A server that is set up, and what setup.sh said; not to be changed."""
    site = Site(tmp_path_factory.mktemp("done"))
    return site, site.set_up("--lan", "--domain", "heat.example.org", "--domain", "192.0.2.7")


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "apt-get install shellcheck"
    scripts = ["setup.sh", *map(str, sorted((ROOT / "deploy").rglob("*.sh")))]
    own = [script for script in scripts if "/setup/" not in script]  # the parts are followed from setup.sh
    checked = subprocess.run([shellcheck, "-x", *own], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_without_docker_it_says_what_to_do_with_code_2(site: Site, tmp_path: Path):
    (tmp_path / "few").mkdir()
    for tool in TOOLS:
        os.symlink(shutil.which(tool) or tool, tmp_path / "few" / tool)
    refused = site.run("--local", path=str(tmp_path / "few"))
    assert refused.returncode == 2
    assert "Docker is not installed" in refused.stderr and "docs.docker.com/engine/install" in refused.stderr
    assert not (site.folder / ".env").exists() and not (site.folder / "data").exists()


def test_an_old_compose_is_refused_by_its_number(site: Site):
    (site.state / "compose-version").write_text("2.20.3")
    refused = site.run("--local")
    assert refused.returncode == 2 and "docker compose is 2.20.3; 2.24 or newer" in refused.stderr


def test_containers_of_the_original_are_not_touched_but_named(site: Site):
    (site.state / "others").write_text("heatpump-mqtt server\nheatpump-influxdb server\n")
    refused = site.run("--local")
    assert refused.returncode == 2
    assert "heatpump-mqtt belongs to the compose project server" in refused.stderr
    assert "from-the-original.md" in refused.stderr


def test_without_a_terminal_and_an_option_it_does_not_guess_who_may_reach_it(site: Site):
    refused = site.run()
    assert refused.returncode == 2
    for option in ("--local", "--lan", "--public"):
        assert option in refused.stderr


def test_every_secret_is_made_for_its_reader_alone(done: tuple[Site, str]):
    site, _ = done
    secrets = site.folder / "data/secrets"
    assert mode(secrets) == mode(site.folder / "data/tls") == "700"
    declared = re.findall(r"file: \./data/secrets/(\w+)", (ROOT / "docker-compose.yml").read_text())
    assert sorted(path.name for path in secrets.iterdir()) == sorted(declared)
    for path in secrets.iterdir():
        assert mode(path) == ("640" if path.name == "HEATPUMP_MQTT_HEALTH_PASSWORD" else "600"), path.name
    values = list(site.secrets().values())
    assert len(set(values)) == len(values) and all(len(value) >= 20 for value in values)
    assert mode(site.folder / ".env") == "600"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to other users")
def test_secrets_belong_to_the_users_of_the_containers(done: tuple[Site, str]):
    site, _ = done
    owner = {path.name: path.stat().st_uid for path in (site.folder / "data/secrets").iterdir()}
    assert set(owner.values()) == {10001}
    tls = site.folder / "data/tls"
    assert (tls / "mosquitto/server.key").stat().st_uid == 1883
    assert (tls / "nginx/server.key").stat().st_uid == 101
    assert (tls / "ca.key").stat().st_uid == 0


def test_no_secret_stands_in_an_argument_or_in_what_is_said_but_the_first_password(done: tuple[Site, str]):
    site, said = done
    words = " ".join(" ".join(argv) for argv in site.asked())
    for name, value in site.secrets().items():
        assert value not in words and value not in said, name
    (password,) = re.findall(r"password (\S{20}) +\(shown this once\)", said)
    assert password not in words


def test_the_first_user_can_log_in_and_the_brokers_accounts_are_made(done: tuple[Site, str]):
    site, said = done
    from flows.access import file, passwords

    (account,) = file.read(site.state / "access/access.json")
    (password,) = re.findall(r"password (\S{20}) ", said)
    assert account.name == "admin" and account.scope == "admin"
    assert passwords.matches(password, account.password or "")
    accounts = (site.state / "accounts/passwd").read_text()
    names = {line.split(":")[0] for line in accounts.splitlines() if line[:1] not in ("", "#")}
    assert names == {"heatpump", "heatpump-flow", "heatpump-api", "heatpump-health"}


def test_influxdb_is_first_started_on_this_machine_alone_and_gives_a_token_of_our_own(done: tuple[Site, str]):
    site, _ = done
    asked = site.asked()
    first_up = next(argv for argv in asked if argv[:2] == ["compose", "up"])
    assert first_up[-1] == "influxdb"
    line = next(line for line in (site.state / "asked.jsonl").read_text().splitlines() if '"up"' in line)
    assert '"bind": "127.0.0.1"' in line
    assert site.secret("INFLUXDB_TOKEN").startswith("token-")
    assert site.secret("INFLUXDB_ADMIN_TOKEN") in (site.state / "influx-configs").read_text()


def test_a_second_run_changes_nothing(done: tuple[Site, str]):
    site, _ = done
    before = site.hashes()
    said = site.set_up("--lan", "--domain", "heat.example.org", "--domain", "192.0.2.7")
    assert site.hashes() == before
    assert "made" not in said and "shown this once" not in said
    site.set_up()
    assert "shown this once" not in site.run().stdout  # what it was told is kept


def test_an_env_of_the_original_is_taken_as_it_is_and_its_default_passwords_are_warned_of(site: Site):
    (site.folder / ".env").write_text(ORIGINAL)
    said = site.set_up("--public", "--domain", "heat.example.org")
    assert site.secret("MQTT_PASSWORD") == site.secret("INFLUXDB_PASSWORD") == "heatpump123"
    assert site.secret("INFLUXDB_ADMIN_TOKEN") == "heatpump-super-secret-token"
    assert site.secret("INFLUXDB_TOKEN") != "heatpump-super-secret-token"
    for line in ORIGINAL.splitlines():
        assert line in (site.folder / ".env").read_text().splitlines()
    assert said.count("WARNING") == 3
    for name in ("MQTT_PASSWORD", "INFLUXDB_PASSWORD", "INFLUXDB_TOKEN"):
        assert f"{name} in .env is a published default" in said


@pytest.mark.parametrize(
    ("option", "tls", "rest"),
    [("--local", "127.0.0.1", "127.0.0.1"), ("--lan", "0.0.0.0", "0.0.0.0"), ("--public", "0.0.0.0", "127.0.0.1")],
)
def test_who_reaches_it_is_what_was_asked_for(site: Site, option: str, tls: str, rest: str):
    site.set_up(option)
    assert (site.env()["HEATPUMP_BIND_PUBLIC"], site.env()["HEATPUMP_BIND_LOCAL"]) == (tls, rest)


def test_devices_are_told_the_port_that_is_open_unless_env_says_another_address(site: Site):
    told = []
    for options in (["--lan", "--domain", "heat.example.org"], ["--public"], ["--lan"]):
        site.set_up(*options)
        told.append(site.env()["HEATPUMP_MQTT_ADDRESS"])
    assert told == ["heat.example.org", "heat.example.org:8883", "heat.example.org"]
    env = site.folder / ".env"
    env.write_text(env.read_text().replace("ADDRESS=heat.example.org", "ADDRESS=mqtt.example.org"))
    site.set_up("--public")
    assert site.env()["HEATPUMP_MQTT_ADDRESS"] == "mqtt.example.org"


def test_sqlite_needs_no_influxdb(site: Site):
    said = site.set_up("--local", "--store", "sqlite")
    assert not [name for name in site.secrets() if name.startswith("INFLUXDB")]
    assert not [argv for argv in site.asked() if "operator" in argv or "influxdb" in argv]
    assert site.env()["COMPOSE_FILE"] == "docker-compose.yml:deploy/compose/sqlite.yml" and "8086" not in said


def test_a_container_that_does_not_become_healthy_ends_it(site: Site):
    (site.folder / "deploy/setup/start.sh").write_text(
        (site.folder / "deploy/setup/start.sh").read_text().replace("PATIENCE_S=240", "PATIENCE_S=2")
    )
    (site.state / "heatpump-panel-unhealthy").touch()
    failed = site.run("--local")
    assert failed.returncode == 1 and "heatpump-panel is unhealthy after 2 s" in failed.stderr
    assert "(shown this once)" in failed.stdout, "nobody would ever know it"
