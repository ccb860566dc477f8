"""Settings: which store they name, and which mistakes they refuse."""

import logging
from pathlib import Path

import pytest

from flows.errors import ConfigError
from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS
from flows.settings import load_settings

URL = "http://influx.example.org:8086"


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "TOKEN", "ORG", "BUCKET", "USER", "PASSWORD", "RETENTION"):
        monkeypatch.delenv(f"INFLUXDB_{name}", raising=False)


def test_without_a_url_the_store_is_a_file_in_the_data_folder(tmp_path):
    settings = load_settings(data=tmp_path)
    assert (settings.store, settings.store_kind) == (tmp_path / "store.sqlite", "sqlite")
    assert not settings.has_store


def test_a_url_selects_the_server_with_the_contracts_names_and_retentions(monkeypatch, tmp_path):
    monkeypatch.setenv("INFLUXDB_URL", f"{URL}/")
    monkeypatch.setenv("INFLUXDB_TOKEN", "secret")
    monkeypatch.setenv("INFLUXDB_RETENTION", "14d")
    settings = load_settings(data=tmp_path)
    assert settings.store == InfluxAddress(URL, "secret", "heatpump", "sensor_data", 14 * DAY_MS, 90 * DAY_MS)
    assert (settings.store_kind, settings.has_store) == ("influxdb", True)


def test_a_token_of_the_data_folder_is_taken_where_the_variable_is_empty(monkeypatch, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "influxdb-token").write_text("of-the-folder\n")
    monkeypatch.setenv("INFLUXDB_URL", URL)
    monkeypatch.setenv("INFLUXDB_TOKEN", "")
    assert tokens(tmp_path) == "of-the-folder"
    monkeypatch.setenv("INFLUXDB_TOKEN", "of-the-environment")
    assert tokens(tmp_path) == "of-the-environment"


def tokens(data: Path) -> str:
    store = load_settings(data=data).store
    assert isinstance(store, InfluxAddress)
    return store.token


def test_a_url_without_a_token_says_where_one_may_be_given(monkeypatch, tmp_path):
    monkeypatch.setenv("INFLUXDB_URL", URL)
    settings = load_settings(data=tmp_path)
    with pytest.raises(ConfigError, match=f"INFLUXDB_URL: '{URL}' needs a token: give INFLUXDB_TOKEN") as caught:
        _ = settings.store
    assert str(tmp_path / "secrets" / "influxdb-token") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INFLUXDB_URL", "influx.example.org:8086", "must be the address of a server"),
        ("INFLUXDB_URL", "http://", "must be the address of a server"),
        ("INFLUXDB_URL", "http://admin:secret@influx:8086", "must have no user or password in it"),
        ("INFLUXDB_BUCKET", "_monitoring", "must be the name of a bucket"),
        ("INFLUXDB_RETENTION", "30x", "INFLUXDB_RETENTION"),
    ],
)
def test_what_can_be_no_server_or_bucket_is_refused_by_name(monkeypatch, tmp_path, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said) as caught:
        load_settings(data=tmp_path)
    assert name in str(caught.value)


def test_the_end_of_a_line_is_no_part_of_a_token(monkeypatch, tmp_path):
    monkeypatch.setenv("INFLUXDB_URL", URL)
    monkeypatch.setenv("INFLUXDB_TOKEN", "of-the-environment\n")
    assert tokens(tmp_path) == "of-the-environment"


@pytest.mark.parametrize("token", ["two\nlines", "bell\x07", "€uro"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch, tmp_path, token):
    monkeypatch.setenv("INFLUXDB_URL", URL)
    monkeypatch.setenv("INFLUXDB_TOKEN", token)
    with pytest.raises(ConfigError, match="INFLUXDB_TOKEN: '…' must be one line of ASCII characters"):
        tokens(tmp_path)


def test_neither_settings_nor_address_show_the_token(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("INFLUXDB_URL", URL)
    monkeypatch.setenv("INFLUXDB_TOKEN", "very-secret")
    monkeypatch.setenv("INFLUXDB_PASSWORD", "very-secret")
    settings = load_settings(data=tmp_path)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("heatpump").warning("%s %r %s %r", settings, settings, settings.store, settings.store)
    assert URL in caplog.text
    assert "very-secret" not in caplog.text
