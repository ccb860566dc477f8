"""docker-compose.yml as compose itself reads it: what is open, who may what, how much. Nothing is started here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from tests.deploy.site import ROOT

pytestmark = pytest.mark.slow

COMPOSE = Path(sys.executable).parent / "docker-compose"
SQLITE = "docker-compose.yml:deploy/compose/sqlite.yml"
NAMES = {
    "mosquitto": "heatpump-mqtt",
    "influxdb": "heatpump-influxdb",
    "flow": "heatpump-flow",
    "backend": "heatpump-backend",
    "panel": "heatpump-panel",
    "dashboard": "heatpump-dashboard",
    "backup": "heatpump-backup",
}
PORTS = {1883, 9001, 8883, 8086, 8000, 80, 443}
OF_THE_IMAGES = {"TZ", "GOMEMLIMIT", "INFLUXD_REPORTING_DISABLED", "INFLUXD_LOG_LEVEL"} | {
    "INFLUXD_STORAGE_CACHE_MAX_MEMORY_SIZE",
    "HEATPUMP_BACKUP_AT",  # deploy/backup/nightly.sh
    "HEATPUMP_BACKUP_KEEP",
}
"""Variables that are for an image, not for our settings."""
LIMIT = 1_800_000_000


def config(folder: Path, env: str = "", *profiles: str) -> dict[str, Any]:
    """Give what compose makes of the file with an .env. Raises AssertionError with compose's words."""
    for name in ("docker-compose.yml", "Dockerfile"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "deploy", folder / "deploy", dirs_exist_ok=True)
    (folder / ".env").write_text(env)
    options = [word for profile in profiles for word in ("--profile", profile)]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [COMPOSE, *options, "config", "--format", "json"]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def all_services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = config(tmp_path_factory.mktemp("all"), "", "tools")["services"]
    return found


def started(services: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in services.items() if not each.get("profiles")}


@pytest.mark.parametrize(
    "env", ["", f"COMPOSE_FILE={SQLITE}\n", "HEATPUMP_BIND_PUBLIC=0.0.0.0\nTZ=Europe/Vienna\n"]
)
@pytest.mark.parametrize("profiles", [(), ("tools",)])
def test_compose_takes_each_variant(tmp_path: Path, env: str, profiles: tuple[str, ...]):
    assert config(tmp_path, env, *profiles)["name"] == "heatpump"


def test_containers_have_the_names_that_commands_know_them_by(all_services: dict[str, Any]):
    assert {name: each["container_name"] for name, each in started(all_services).items()} == NAMES


def test_memory_limits_add_up_to_less_than_a_small_server_has(tmp_path: Path, all_services: dict[str, Any]):
    limits = {name: int(each["mem_limit"]) for name, each in started(all_services).items()}
    assert sum(limits.values()) <= LIMIT, limits
    assert all(int(each["mem_limit"]) for each in all_services.values())


def test_no_container_is_root_or_may_write_its_root_or_gain_rights(all_services: dict[str, Any]):
    for name, each in all_services.items():
        assert each["user"].split(":")[0] not in ("", "0", "root"), name
        assert each["read_only"] is True and each["cap_drop"] == ["ALL"] and "cap_add" not in each, name
        assert each["security_opt"] == ["no-new-privileges:true"] and not each.get("privileged"), name
        assert not [mount for mount in each.get("volumes", ()) if "docker.sock" in str(mount.get("source"))], name


def test_logs_go_to_stdout_and_have_an_end(all_services: dict[str, Any]):
    for name, each in all_services.items():
        options = each["logging"].get("options") or {}
        assert each["logging"]["driver"] == "none" or {"max-size", "max-file"} <= options.keys(), name


def test_by_default_every_port_is_on_loopback(all_services: dict[str, Any]):
    ports = [port for each in all_services.values() for port in each.get("ports", ())]
    assert {int(port["published"]) for port in ports} == PORTS
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_public_opens_the_three_ports_with_tls_alone(tmp_path: Path):
    services = config(tmp_path, "HEATPUMP_BIND_PUBLIC=0.0.0.0\nHEATPUMP_BIND_LOCAL=127.0.0.1\n")["services"]
    ports = [port for each in services.values() for port in each.get("ports", ())]
    assert {int(port["published"]) for port in ports if port["host_ip"] == "0.0.0.0"} == {80, 443, 8883}
    assert {port["host_ip"] for port in ports} == {"0.0.0.0", "127.0.0.1"}


def test_the_web_server_and_the_pages_cannot_reach_store_or_broker(all_services: dict[str, Any]):
    networks = {name: set(each.get("networks") or ()) for name, each in all_services.items()}
    for name in ("dashboard", "panel"):
        for other in ("influxdb", "mosquitto", "flow"):
            assert not networks[name] & networks[other], (name, other)
    for name in ("flow", "backend", "backup"):
        assert networks[name] & networks["influxdb"], name


def test_only_who_needs_a_secret_has_it(all_services: dict[str, Any]):
    has = {name: {each["source"] for each in service.get("secrets", ())} for name, service in all_services.items()}
    assert has["panel"] == has["dashboard"] == has["influxdb"] == set()
    assert has["mosquitto"] == {"HEATPUMP_MQTT_HEALTH_PASSWORD"}
    assert [name for name, secrets in has.items() if "INFLUXDB_ADMIN_TOKEN" in secrets] == ["operator"]
    assert [name for name, secrets in has.items() if "MQTT_PASSWORD" in secrets] == ["tools"]
    assert [name for name, secrets in has.items() if "HEATPUMP_SESSION_KEY" in secrets] == ["backend"]


def test_every_variable_of_a_container_is_a_setting_or_its_images(all_services: dict[str, Any]):
    known = {
        name for field in Settings.model_fields.values() for name in getattr(field.validation_alias, "choices", ())
    }
    known |= {
        "HEATPUMP_SECRETS",
        "HEATPUMP_API_URL",
        "HEATPUMP_PANEL_HOST",
        "HEATPUMP_PANEL_ORIGINS",
    } | OF_THE_IMAGES
    for name, each in all_services.items():
        assert set(each.get("environment") or {}) <= known, name


def test_what_runs_is_watched_and_waits_for_what_it_needs(all_services: dict[str, Any]):
    for name, each in started(all_services).items():
        assert name == "backup" or each["healthcheck"]["test"][0] == "CMD", name
        assert each["restart"] == "unless-stopped", name
    assert all_services["flow"]["depends_on"]["mosquitto"]["condition"] == "service_healthy"
    assert all_services["dashboard"]["depends_on"]["backend"]["condition"] == "service_healthy"


def test_with_sqlite_there_is_no_influxdb_and_the_api_shares_the_flows_volume(tmp_path: Path):
    services = config(tmp_path, f"COMPOSE_FILE={SQLITE}\n")["services"]
    assert set(services) == set(NAMES) - {"influxdb"}
    for name in ("flow", "backend", "backup"):
        assert services[name]["environment"]["INFLUXDB_URL"] == ""
        assert "INFLUXDB_TOKEN" not in {each["source"] for each in services[name]["secrets"]}
        assert "/data" in {mount["target"] for mount in services[name]["volumes"]}
        assert services[name]["environment"].get("HEATPUMP_DATA", "/data") == "/data"
