"""docker-compose.yml and its .env.example as they are written: compose itself is asked in test_compose.py."""

import re

from tests.deploy.site import ROOT


def test_no_password_stands_in_the_file_or_in_the_example():
    for name in ("docker-compose.yml", ".env.example", "deploy/compose/sqlite.yml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"heatpump123|super-secret", text), name
    example = (ROOT / ".env.example").read_text().splitlines()
    for secret in ("MQTT_PASSWORD", "INFLUXDB_PASSWORD", "INFLUXDB_TOKEN"):
        assert f"{secret}=" in example


def test_what_the_example_names_is_used():
    named = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = "".join((ROOT / name).read_text() for name in ("docker-compose.yml", "setup.sh"))
    used += "".join(path.read_text() for path in (ROOT / "deploy/setup").glob("*.sh"))
    assert not [name for name in named if name not in used]
    interpolated = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert interpolated - named <= {"HEATPUMP_IMAGE", "HEATPUMP_PANEL_ORIGINS"}
