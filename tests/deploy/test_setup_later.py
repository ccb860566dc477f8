"""setup.sh on a server that is set up: --check, --rotate, certificates; with the stand-in for docker."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.site import Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A server that is set up; a test leaves it in order."""
    site = Site(tmp_path_factory.mktemp("later"))
    site.set_up("--local", "--domain", "heat.example.org")
    return site


@pytest.fixture
def asked(site: Site) -> Iterator[Site]:
    site.forget_asked()
    yield site


def openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def test_the_certificate_is_by_our_own_ca_and_holds_the_names(site: Site):
    tls = site.folder / "data/tls"
    openssl("verify", "-CAfile", tls / "ca.crt", tls / "nginx/server.crt")
    text = openssl("x509", "-in", tls / "nginx/server.crt", "-noout", "-text")
    for name in ("DNS:heat.example.org", "DNS:localhost", "IP Address:127.0.0.1"):
        assert name in text
    assert "TLS Web Server Authentication" in text and "CA:FALSE" in text
    assert (tls / "mosquitto/server.crt").read_bytes() == (tls / "nginx/server.crt").read_bytes()
    assert (tls / "nginx/ca.crt").read_bytes() == (tls / "ca.crt").read_bytes()


def test_check_is_content_with_what_setup_made(asked: Site):
    before = asked.hashes()
    done = asked.run("--check")
    assert done.returncode == 0 and "all is as it should be" in done.stdout, done.stdout + done.stderr
    assert asked.hashes() == before


def test_check_names_each_thing_that_is_wrong(asked: Site):
    env, secret = asked.folder / ".env", asked.folder / "data/secrets/HEATPUMP_API_TOKEN"
    kept = env.read_text()
    env.write_text(kept.replace("MQTT_PASSWORD=", "MQTT_PASSWORD=heatpump123", 1))
    env.chmod(0o644)
    secret.chmod(0o644)
    (asked.state / "heatpump-panel-unhealthy").touch()
    (asked.state / "heatpump-influxdb-ports").write_text("8086/tcp -> 0.0.0.0:8086\n")
    done = asked.run("--check")
    assert done.returncode == 1 and "5 problems" in done.stderr, done.stdout
    for words in (
        "MQTT_PASSWORD is a published default",
        "chmod 600 .env",
        "HEATPUMP_API_TOKEN has mode 644",
        "heatpump-panel is unhealthy",
        "heatpump-influxdb has port 8086/tcp open to every network",
    ):
        assert words in done.stdout
    env.write_text(kept)
    env.chmod(0o600)
    secret.chmod(0o600)
    for name in ("heatpump-panel-unhealthy", "heatpump-influxdb-ports"):
        (asked.state / name).unlink()


def test_rotating_all_makes_every_secret_new_but_what_devices_and_the_broker_hold(asked: Site):
    before = asked.secrets()
    inodes = {path.name: path.stat().st_ino for path in (asked.folder / "data/secrets").iterdir()}
    done = asked.run("--rotate")
    assert done.returncode == 0, done.stdout + done.stderr
    after = asked.secrets()
    kept = [name for name in before if before[name] == after[name]]
    assert kept == ["HEATPUMP_MQTT_CLIENT_ID", "MQTT_PASSWORD"]
    # A container sees the file that was mounted into it: another file of the name would be another secret.
    assert inodes == {path.name: path.stat().st_ino for path in (asked.folder / "data/secrets").iterdir()}
    words = " ".join(" ".join(argv) for argv in asked.asked())
    assert not [name for name, value in {**before, **after}.items() if value in words + done.stdout]
    operator = [json.loads(line) for line in (asked.state / "operator.jsonl").read_text().splitlines()]
    commands = [" ".join(each["command"]) for each in operator]
    assert commands.index("influxdb token --revoke") > commands.index("influxdb token")
    assert operator[-1] == {"command": ["influxdb", "revoke"], "given": before["INFLUXDB_ADMIN_TOKEN"] + "\n"}
    restarted = {name for argv in asked.asked() if argv[:2] == ["compose", "restart"] for name in argv[3:]}
    assert restarted == {"flow", "backend", "backup"}


def test_a_rotation_that_was_broken_off_is_ended_by_the_next_run(asked: Site):
    """Killed between the new secrets and the accounts: flow and API run on with passwords that then end."""
    for name in ("HEATPUMP_MQTT_FLOW_PASSWORD", "HEATPUMP_MQTT_API_PASSWORD"):
        (asked.folder / "data/secrets" / name).write_text(f"new-{name}-0123456789abcdef\n")
    asked.set_up()
    assert ["compose", "restart", "--no-deps", "flow", "backend"] in asked.asked()
    asked.forget_asked()
    asked.set_up()
    assert not [argv for argv in asked.asked() if "restart" in argv]


def test_an_operator_s_token_that_was_left_valid_is_told_and_revoked_by_the_next_rotation(asked: Site):
    left = asked.folder / "data/secrets/INFLUXDB_ADMIN_TOKEN.old"
    left.write_text("heatpump-super-secret-token\n")
    done = asked.run("--check")
    assert done.returncode == 1 and "still takes the operator's token of before" in done.stdout
    before = asked.secret("INFLUXDB_ADMIN_TOKEN")
    done = asked.run("--rotate", "influxdb-operator")
    assert done.returncode == 0, done.stdout + done.stderr
    operator = [json.loads(line) for line in (asked.state / "operator.jsonl").read_text().splitlines()]
    revoked = [each["given"] for each in operator if each["command"] == ["influxdb", "revoke"]]
    assert revoked[-2:] == ["heatpump-super-secret-token\n", f"{before}\n"]
    assert not left.exists()


def test_a_secret_that_cannot_be_made_leaves_the_one_before(asked: Site):
    before = asked.secrets()
    broken = asked.bin / "openssl"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    try:
        assert asked.run("--rotate", "session").returncode != 0
    finally:
        broken.unlink()
    assert asked.secrets() == before


def test_what_cannot_be_rotated_is_told_with_what_can(site: Site):
    refused = site.run("--rotate", "everything")
    assert refused.returncode == 2 and "mqtt influxdb influxdb-operator" in refused.stderr


def test_a_new_password_of_the_shared_account_replaces_that_of_env(asked: Site):
    env = asked.folder / ".env"
    env.write_text(env.read_text().replace("MQTT_PASSWORD=", "MQTT_PASSWORD=heatpump123", 1))
    done = asked.run("--rotate", "mqtt-password")
    assert done.returncode == 0 and "devices with the old password cannot connect" in done.stdout
    assert asked.env()["MQTT_PASSWORD"] == "" and len(asked.secret("MQTT_PASSWORD")) == 43


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to other users")
def test_a_new_certificate_is_its_users_at_every_moment(site: Site):
    """Mosquitto or nginx may be starting: one that cannot read its certificate ends."""
    tls = site.folder / "data/tls"
    files = [tls / user / name for user in ("mosquitto", "nginx") for name in ("server.key", "server.crt")]
    before, seen, done = [path.read_bytes() for path in files], set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            for path in files:
                stat = path.stat()
                seen.add((path.parent.name, path.name, stat.st_uid, f"{stat.st_mode & 0o777:o}"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        rotated = site.run("--rotate", "tls")
    finally:
        done.set()
        looking.join()
    assert rotated.returncode == 0, rotated.stdout + rotated.stderr
    assert all(path.read_bytes() != old for path, old in zip(files, before, strict=True))
    assert seen == {
        ("mosquitto", "server.key", 1883, "600"),
        ("mosquitto", "server.crt", 1883, "644"),
        ("nginx", "server.key", 101, "600"),
        ("nginx", "server.crt", 101, "644"),
    }
    assert list(tls.rglob("*.new*")) == []


def test_half_of_what_a_run_that_was_broken_off_placed_is_not_taken(site: Site):
    mosquitto = site.folder / "data/tls/mosquitto"
    before, half = (mosquitto / "server.crt").read_bytes(), mosquitto / "server.crt.new"
    half.write_bytes(before[:100])
    site.set_up()
    assert (mosquitto / "server.crt").read_bytes() == before
    assert site.run("--rotate", "tls").returncode == 0 and not half.exists()
    assert (
        (mosquitto / "server.crt").read_bytes()
        == (site.folder / "data/tls/nginx/server.crt").read_bytes()
        != before
    )


def test_a_certificate_of_ones_own_is_taken_only_with_its_key(site: Site, tmp_path: Path):
    made = [tmp_path / name for name in ("a.key", "a.crt", "b.key")]
    options = ("-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=heat.example.org")
    openssl("req", "-x509", *options, "-keyout", made[0], "-out", made[1])
    openssl("genpkey", "-algorithm", "RSA", "-out", made[2])
    refused = site.run("--tls-cert", str(made[1]), "--tls-key", str(made[2]))
    assert refused.returncode == 2 and "is not the key of" in refused.stderr
    site.set_up("--tls-cert", str(made[1]), "--tls-key", str(made[0]))
    nginx = site.folder / "data/tls/nginx"
    assert (nginx / "server.crt").read_bytes() == made[1].read_bytes() and not (nginx / "ca.crt").exists()
    before = site.hashes()
    site.set_up()
    assert site.hashes() == before


def test_our_own_certificate_is_made_anew_before_it_ends_or_for_another_name(site: Site):
    nginx = site.folder / "data/tls/nginx"
    (nginx / "server.crt").unlink()
    part = site.folder / "deploy/setup/certificates.sh"
    kept = part.read_text()
    part.write_text(kept.replace("SERVER_DAYS=825", "SERVER_DAYS=50"))
    site.set_up()
    part.write_text(kept)
    short = (nginx / "server.crt").read_bytes()
    said = site.set_up()
    assert (nginx / "server.crt").read_bytes() != short and "made a certificate" in said
    said = site.set_up("--domain", "heat.example.org", "--domain", "192.0.2.9")
    assert "IP:192.0.2.9" in said
    ca = openssl("x509", "-in", site.folder / "data/tls/ca.crt", "-noout", "-text")
    assert "CA:TRUE" in ca


def test_backups_are_made_at_their_time_of_day(tmp_path: Path):
    """The clock is played: `sleep` moves it, `date` shows it."""
    clock, log = tmp_path / "clock", tmp_path / "log"
    clock.write_text("1770000000")  # 2026-02-02 02:40 UTC
    real = "/bin/date"
    parts = {
        "sleep": f"echo $(($(cat {clock}) + $1)) >{clock}",
        "date": f'now=$(cat {clock}); case "$1" in +%s) echo $now ;; *) case "$2" in @*) {real} "$@" ;; '
        f'*) {real} -d "$({real} -d @$now +%F) $2" "$3" ;; esac ;; esac',
        "heatpump": f'echo "$({real} -d @$(cat {clock}) +%FT%H:%M) $*" >>{log}; [ $(wc -l <{log}) -lt 2 ] || kill $PPID; exit 1',
    }
    for name, script in parts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    # "today 02:30" and "tomorrow 02:30" are words of GNU date, which takes them after a date, too.
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "UTC", "HEATPUMP_BACKUP_KEEP": "5"}
    script = Path(__file__).parent.parent.parent / "deploy/backup/nightly.sh"
    subprocess.run(["/bin/sh", script, "/backups"], env=env, capture_output=True, timeout=300)
    days = [f"2026-02-0{day}T02:30 backup /backups --keep 5" for day in (3, 4)]
    assert log.read_text().splitlines() == days
