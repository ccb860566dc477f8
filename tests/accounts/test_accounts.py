"""Accounts at the deployed broker: what the files say, and which names and secrets are refused."""

import json
import subprocess
import threading

import pytest

from flows.accounts import devices
from flows.accounts.acl import acl
from flows.accounts.book import read
from flows.accounts.passwords import fits, hashed, new_password
from flows.accounts.sync import sync
from flows.errors import ConfigError
from flows.settings import Settings, load_settings

SECRETS = {
    "HEATPUMP_MQTT_FLOW_PASSWORD": "f",
    "HEATPUMP_MQTT_API_PASSWORD": "a",
    "HEATPUMP_MQTT_HEALTH_PASSWORD": "h",
    "MQTT_PASSWORD": "s",
}


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    return given(monkeypatch, tmp_path)


def given(monkeypatch, folder, **changed: str) -> Settings:
    for name, value in {**SECRETS, "MQTT_USER": "heatpump", "HEATPUMP_MQTT_ACCOUNTS": "", **changed}.items():
        monkeypatch.setenv(name, value)
    return load_settings(data=folder)


def names(settings: Settings) -> list[str]:
    lines = (settings.accounts_folder / "passwd").read_text().splitlines()
    return [line.partition(":")[0] for line in lines if not line.startswith("#")]


@pytest.mark.slow
def test_a_password_is_kept_as_mosquitto_passwd_keeps_it(tmp_path):
    file = tmp_path / "theirs"
    file.touch()
    subprocess.run(["mosquitto_passwd", "-b", file, "site1", "geheim ü"], check=True)
    theirs = file.read_text().strip().partition(":")[2]
    assert fits("geheim ü", theirs)
    assert not fits("geheim", theirs)
    assert [len(part) for part in hashed("x").split("$")] == [len(part) for part in theirs.split("$")]
    assert not fits("x", "no hash")


def test_passwords_have_256_bits_and_need_no_quoting():
    assert len(new_password()) == 43
    assert set("".join(new_password() for _ in range(50))) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


def test_sync_twice_is_as_once_and_keeps_the_devices(settings):
    assert sync(settings) == [
        "heatpump-flow: made",
        "heatpump-api: made",
        "heatpump-health: made",
        "heatpump, shared: made",
    ]
    devices.add(settings, "site1", renew=False)
    before = {path.name: path.read_bytes() for path in settings.accounts_folder.iterdir()}
    assert sync(settings) == []
    assert {path.name: path.read_bytes() for path in settings.accounts_folder.iterdir()} == before
    assert names(settings) == ["heatpump", "heatpump-api", "heatpump-flow", "heatpump-health", "site1"]


def test_a_changed_secret_changes_that_account_alone(settings, monkeypatch, tmp_path):
    sync(settings)
    before = read(settings.accounts_folder)
    changed = given(monkeypatch, tmp_path, HEATPUMP_MQTT_API_PASSWORD="b", MQTT_USER="house")
    assert sync(changed) == [
        "heatpump-api: has another password",
        "heatpump, shared: removed",
        "house, shared: made",
    ]
    after = read(settings.accounts_folder)
    assert after.services["heatpump-flow"] == before.services["heatpump-flow"]
    assert fits("b", after.services["heatpump-api"].hashed)
    assert "user house\n" in (settings.accounts_folder / "acl").read_text()


def test_a_secret_that_is_not_given_has_no_account_and_none_at_all_is_a_mistake(settings, monkeypatch, tmp_path):
    sync(settings)
    assert sync(given(monkeypatch, tmp_path, MQTT_PASSWORD="")) == ["heatpump, shared: removed"]
    assert "user heatpump\n" not in (settings.accounts_folder / "acl").read_text()
    with pytest.raises(ConfigError, match="HEATPUMP_SECRETS may name their folder"):
        sync(given(monkeypatch, tmp_path, **dict.fromkeys(SECRETS, "")))


def test_two_accounts_with_one_password_are_refused(settings, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="'heatpump' has the password of heatpump-flow"):
        sync(given(monkeypatch, tmp_path, MQTT_PASSWORD="f"))


def test_files_are_for_their_owner_and_group_alone(settings):
    sync(settings)

    def modes() -> dict[str, int]:
        return {path.name: path.stat().st_mode & 0o777 for path in settings.accounts_folder.iterdir()}

    made = {"accounts.json": 0o600, ".lock": 0o600, "passwd": 0o640, "acl": 0o640}
    assert modes() == made
    (settings.accounts_folder / "passwd").chmod(0o600)  # as a restore leaves it
    sync(settings)
    assert modes() == made


def test_the_shared_account_ends_and_may_come_back(settings):
    sync(settings)
    assert devices.per_device(settings, undo=False)
    assert not devices.per_device(settings, undo=False)
    assert sync(settings) == []
    assert "heatpump" not in names(settings)
    assert (settings.accounts_folder / "per-device").exists()
    assert devices.per_device(settings, undo=True)
    assert sync(settings) == ["heatpump, shared: made"]
    assert not (settings.accounts_folder / "per-device").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("+", "must be 1 to 64 letters"),
        ("#", "must be 1 to 64 letters"),
        ("site/1", "must be 1 to 64 letters"),
        ("%u", "must be 1 to 64 letters"),
        ("site%c", "must be 1 to 64 letters"),
        ("site1\n", "must be 1 to 64 letters"),
        ("a:b", "must be 1 to 64 letters"),
        ("", "must be 1 to 64 letters"),
        ("x" * 65, "must be 1 to 64 letters"),
        ("heatpump-flow", "is kept for us"),
        ("Heatpump-API", "is kept for us"),
        ("heatpump-flow-live", "is kept for us"),
        ("heatpump", "is the shared account's name"),
        ("HeatPump", "is the shared account's name"),
        ("SITE1", "differs from the device 'site1' only in case"),
    ],
)
def test_names_that_no_device_may_have(settings, name, why):
    sync(settings)
    devices.add(settings, "site1", renew=False)
    with pytest.raises(ConfigError, match=why):
        devices.add(settings, name, renew=False)
    assert list(read(settings.accounts_folder).devices) == ["site1"]


@pytest.mark.parametrize(
    "user", ["heatpump-api", "a:b", "+", "#", "a/b", "%u", " a", "a\nuser b", "x" * 65, "o'x", "SITE1"]
)
def test_names_that_the_shared_account_may_not_have(settings, monkeypatch, tmp_path, user):
    devices.add(settings, "site1", renew=False)
    with pytest.raises(ConfigError, match="MQTT_USER"):
        sync(given(monkeypatch, tmp_path, MQTT_USER=user))


def test_an_account_is_added_once_renewed_and_revoked(settings):
    first = devices.add(settings, "site1", renew=False)
    with pytest.raises(ConfigError, match="--renew gives it another password"):
        devices.add(settings, "site1", renew=False)
    second = devices.add(settings, "site1", renew=True)
    account = read(settings.accounts_folder).devices["site1"]
    assert fits(second, account.hashed) and not fits(first, account.hashed)
    assert account.renewed >= account.since > 0
    devices.revoke(settings, "site1")
    assert names(settings) == []
    for again in (lambda: devices.revoke(settings, "site1"), lambda: devices.add(settings, "site1", renew=True)):
        with pytest.raises(ConfigError, match="has no account"):
            again()


def test_many_at_once_lose_none(settings):
    def add(first: int) -> None:
        for number in range(first, first + 10):
            devices.add(settings, f"site{number}", renew=False)

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(settings)) == 40


def test_a_damaged_file_says_which(settings):
    sync(settings)
    (settings.accounts_folder / "accounts.json").write_text("{")
    with pytest.raises(ConfigError, match=r"HEATPUMP_MQTT_ACCOUNTS: .*accounts.json.* cannot be read"):
        sync(settings)


def test_the_acl_names_each_right_once():
    shared = acl("house").splitlines()
    assert [line for line in acl("").splitlines() if line not in shared] == []
    assert json.dumps([line for line in shared if "user" in line and not line.startswith("#")]) == json.dumps(
        ["user heatpump-flow", "user heatpump-api", "user heatpump-health", "user house"]
    )
