"""Settings in files, as containers and systemd hand secrets over; and which variables are ours at all."""

import os

import pytest

from flows.errors import ConfigError
from flows.settings import Settings, load_settings

SECRET = [name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)]


def variable(name: str) -> str:
    return Settings.model_fields[name].validation_alias.choices[0]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    for name in Settings.model_fields:
        for alias in Settings.model_fields[name].validation_alias.choices:
            monkeypatch.delenv(alias, raising=False)
    made = tmp_path / "secrets"
    made.mkdir()
    monkeypatch.setenv("HEATPUMP_SECRETS", str(made))
    return made


def test_every_secret_is_taken_from_the_file_of_its_name_without_its_line_end(folder):
    for name in SECRET:
        (folder / variable(name)).write_text(f"0123456789-{name}\n")
    settings = load_settings()
    assert len(SECRET) >= 5
    assert {name: getattr(settings, name).get_secret_value() for name in SECRET} == {
        name: f"0123456789-{name}" for name in SECRET
    }


def test_what_is_no_secret_may_stand_in_a_file_too_and_other_files_are_nobodys(folder):
    (folder / "INFLUXDB_URL").write_text("http://influx.example.org:8086\n")
    (folder / "lan").write_text("true")
    (folder / "notes.txt").write_text("x")
    settings = load_settings()
    assert (settings.influxdb_url, settings.lan) == ("http://influx.example.org:8086", False)


def test_the_environment_wins_over_a_file_and_an_option_over_both(folder, monkeypatch, tmp_path):
    (folder / "MQTT_PASSWORD").write_text("of-the-file")
    monkeypatch.setenv("MQTT_PASSWORD", "of-the-environment")
    assert load_settings().mqtt_password.get_secret_value() == "of-the-environment"
    (folder / "HEATPUMP_DATA").write_text("of-the-file")
    assert load_settings(data=tmp_path).data == tmp_path


@pytest.mark.parametrize("empty", ["", "\n", " \n\n"])
def test_an_empty_file_counts_as_not_there(folder, empty):
    for name in ("MQTT_USER", "MQTT_PORT", "INFLUXDB_TOKEN"):
        (folder / name).write_text(empty)
    settings = load_settings()
    assert (settings.mqtt_user, settings.mqtt_port, settings.influxdb_token.get_secret_value()) == (
        "heatpump",
        1883,
        "",
    )


def test_files_as_kubernetes_swaps_them_are_followed(folder):
    (folder / "..2026_11_29").mkdir()
    (folder / "..2026_11_29" / "INFLUXDB_TOKEN").write_text("mounted")
    (folder / "..data").symlink_to("..2026_11_29")
    (folder / "INFLUXDB_TOKEN").symlink_to("..data/INFLUXDB_TOKEN")
    assert load_settings().influxdb_token.get_secret_value() == "mounted"


def test_a_missing_folder_or_an_unreadable_secret_stops_the_start_with_its_name(folder, monkeypatch):
    (folder / "MQTT_PASSWORD").mkdir()  # what Docker makes of a secret whose file is missing
    with pytest.raises(ConfigError, match=r"HEATPUMP_SECRETS: .*MQTT_PASSWORD") as caught:
        load_settings()
    assert caught.value.name == "HEATPUMP_SECRETS"
    (folder / "MQTT_PASSWORD").rmdir()
    (folder / "MQTT_PASSWORD").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="HEATPUMP_SECRETS"):
        load_settings()
    monkeypatch.setenv("HEATPUMP_SECRETS", str(folder / "nowhere"))
    with pytest.raises(ConfigError, match=r"HEATPUMP_SECRETS: '.*nowhere' is no folder"):
        load_settings()
    monkeypatch.setenv("HEATPUMP_SECRETS", "")
    assert load_settings().secrets == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_secret_of_another_user_is_no_empty_one(folder):
    (folder / "MQTT_PASSWORD").write_text("x")
    (folder / "MQTT_PASSWORD").chmod(0)
    with pytest.raises(ConfigError, match="HEATPUMP_SECRETS"):
        load_settings()


def test_a_variable_that_is_not_ours_is_not_taken_for_a_setting(folder, monkeypatch):
    monkeypatch.setenv("API_PORT", "tcp://10.0.0.1:8000")  # as Kubernetes makes for a service named api
    monkeypatch.setenv("LAN", "1")
    settings = load_settings()
    assert (settings.api_port, settings.lan) == (8000, False)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("HEATPUMP_COMMAND_TOKEN", "short", "at least 16 ASCII characters"),
        ("HEATPUMP_METRICS_TOKEN", "two words of a kind", "one word"),
        ("HEATPUMP_FLOW_URL", "http://user:hidden@flow:8700", "must have no user or password"),
    ],
)
def test_a_mistaken_secret_is_named_and_not_shown(folder, monkeypatch, name, value, allowed):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=allowed) as caught:
        load_settings()
    assert caught.value.name == name
    assert value not in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["flow:8700", "http://", "http://flow:99999", "ftp://flow", "http://flow:8700/x"]
)
def test_an_address_of_the_flow_that_is_none_is_refused(folder, monkeypatch, value):
    monkeypatch.setenv("HEATPUMP_FLOW_URL", value)
    with pytest.raises(ConfigError, match="HEATPUMP_FLOW_URL"):
        load_settings()


def test_an_options_mistake_names_the_option(folder):
    with pytest.raises(ConfigError, match=r"--api-port: 0 must"):
        load_settings(api_port=0)
