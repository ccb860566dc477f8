"""The broker as it is deployed (deploy/mosquitto, run by run.sh), on free loopback ports, with accounts of ours."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.accounts import devices
from flows.accounts.sync import sync
from flows.mqtt import leave
from flows.settings import Settings, load_settings
from tests.brokers import free_port
from tests.flows import wait_for

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "mosquitto"
NOBODY = 65534
FLOW_ID = "heatpump-flow-5d41402abc4b2a76b9719d911017c592"
PASSWORDS = {
    "HEATPUMP_MQTT_FLOW_PASSWORD": "of-the-flow",
    "HEATPUMP_MQTT_API_PASSWORD": "of-the-api",
    "HEATPUMP_MQTT_HEALTH_PASSWORD": "of the # probe",
    "MQTT_PASSWORD": "of-all-devices",
}
LOGINS = {"heatpump-flow": "of-the-flow", "heatpump-api": "of-the-api", "heatpump": "of-all-devices"}


class DeployedMosquitto:
    """run.sh with the deployed configuration; only the ports are others. passwords: by user."""

    def __init__(self, tls: bool = True, per_device: bool = False) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="heatpump-mosquitto-"))
        self.home.chmod(0o755)
        for name in ("data", "log", "tls", "tmp"):
            (self.home / name).mkdir()
            if os.getuid() == 0 and name != "tls":
                os.chown(self.home / name, NOBODY, NOBODY)
        self.ports = {number: free_port() for number in (1883, 9001, 8883, 8884)}
        self.port, self.tls_port = self.ports[1883], self.ports[8883]
        text = (DEPLOY / "mosquitto.conf").read_text()
        self._conf = self.home / "mosquitto.conf"
        self._conf.write_text(
            re.sub(r"listener (\d+)", lambda m: f"listener {self.ports[int(m[1])]} 127.0.0.1", text)
        )
        self.settings = self.with_secrets(**PASSWORDS)
        self.passwords = dict(LOGINS)
        if per_device:
            devices.per_device(self.settings, undo=False)
        self.ca = self.home / "ca.crt"
        if tls:
            self.certify()
        self.log = self.home / "run.log"
        self.process: subprocess.Popen[bytes] | None = None

    def with_secrets(self, **secrets: str) -> Settings:
        """Settings of the accounts' folder and these secrets."""
        before = {name: os.environ.get(name) for name in (*PASSWORDS, "HEATPUMP_MQTT_ACCOUNTS", "MQTT_USER")}
        given = {**dict.fromkeys(before, ""), **secrets, "HEATPUMP_MQTT_ACCOUNTS": str(self.home / "accounts")}
        os.environ.update(given)
        try:
            return load_settings(data=self.home / "no-data")
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def add(self, device_id: str, renew: bool = False) -> None:
        self.passwords[device_id] = devices.add(self.settings, device_id, renew)

    def certify(self, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 2) -> None:
        """Make a CA and a certificate of it for the broker."""
        made = self.home / "made"
        made.mkdir(exist_ok=True)
        self.ca, ca_key = self.home / "ca.crt", made / "ca.key"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", ca_key, "-out", self.ca, "-days", "2", "-subj", "/CN=Our CA")
        openssl("req", *key, "-keyout", made / "server.key", "-out", made / "server.csr", "-subj", "/CN=broker")
        (made / "ext").write_text(f"subjectAltName={names}\n")
        signed = [
            "-CA",
            self.ca,
            "-CAkey",
            ca_key,
            "-CAcreateserial",
            "-extfile",
            made / "ext",
            "-days",
            str(days),
        ]
        openssl("x509", "-req", "-in", made / "server.csr", "-out", made / "server.crt", *signed)
        for name in ("server.key", "server.crt"):
            (made / name).chmod(0o644)
            os.replace(made / name, self.home / "tls" / name)

    def start(self) -> "DeployedMosquitto":
        sync(self.settings)
        self.launch()
        self.wait_until_it_listens()
        assert self.admits("heatpump-api")  # before it serves, a signal would just kill it
        return self

    def launch(self) -> None:
        """Start without waiting; as root as a user of its own that has our group, as in compose."""
        as_user: list[str] = []
        if os.getuid() == 0:
            as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--groups=0"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*as_user, "/bin/sh", str(DEPLOY / "run.sh"), str(self._conf)],
                env={
                    "PATH": "/usr/sbin:/usr/bin:/bin",
                    "MOSQUITTO_HOME": str(self.home),
                    "TMPDIR": str(self.home / "tmp"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_it_listens(self, number: int = 1883) -> None:
        def listens() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ports[number])) == 0

        wait_for(listens)

    def stop(self) -> int:
        """End it by SIGTERM; the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        return process.wait(60)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.home)

    def admits(self, user: str, **given: Any) -> bool:
        """Tell whether a user is let in now; also False while it starts anew."""
        try:
            client = self.client(user, f"{user}-tries", **given)
        except OSError:
            return False
        was_in = client.is_in
        client.close()
        return was_in

    def client(self, user: str, client_id: str = "", **given: Any) -> "Client":
        return Client(self, user, client_id or f"{user}-esp", **given)


class Client:
    """A client that knows its trade: what it sees is kept. heard: (topic, payload, retained)."""

    def __init__(
        self,
        broker: DeployedMosquitto,
        user: str,
        client_id: str,
        version: int = 4,
        number: int = 1883,
        password: str | None = None,
        clean: bool = True,
        will: str = "",
    ) -> None:
        transport: Any = "websockets" if number == 9001 else "tcp"
        given: dict[str, Any] = {} if version == 5 else {"clean_session": clean}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTProtocolVersion(version),
            transport=transport,
            reconnect_on_failure=False,
            **given,
        )
        if user:
            self._client.username_pw_set(user, password or broker.passwords.get(user, "none"))
        if number in (8883, 8884):
            self._client.tls_set(ca_certs=str(broker.ca))
        if will:
            self._client.will_set(will, b"a will", qos=1, retain=True)
        self.heard: list[tuple[str, bytes, bool]] = []
        self.answer: str | None = None
        self.lost = threading.Event()
        self._acks: dict[int, int] = {}
        self._granted: dict[int, list[int]] = {}
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.lost.set()
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, bytes(m.payload), m.retain))
        self._client.on_publish = lambda _c, _d, mid, reason, _p: self._acks.update({mid: reason.value})
        self._client.on_subscribe = lambda _c, _d, mid, reasons, _p: self._granted.update(
            {mid: [reason.value for reason in reasons]}
        )
        self._client.connect("localhost", broker.ports[number], keepalive=30)
        self._client.loop_start()
        wait_for(lambda: self.answer is not None or self.lost.is_set())

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.answer = str(reason)

    @property
    def is_in(self) -> bool:
        return self.answer == "Success" and not self.lost.is_set()

    def publish(self, topic: str, payload: bytes = b"forged", retain: bool = False, qos: int = 1) -> int | None:
        """Publish; the acknowledgement's reason, None where the connection ended instead."""
        mid = self._client.publish(topic, payload, qos, retain).mid
        wait_for(lambda: mid in self._acks or self.lost.is_set())
        return self._acks.get(mid)

    def subscribe(self, topic: str) -> list[int] | None:
        mid = self._client.subscribe(topic, 1)[1]
        assert mid is not None
        wait_for(lambda: mid in self._granted or self.lost.is_set())
        return self._granted.get(mid)

    def hears(self, payload: bytes) -> None:
        wait_for(lambda: [one for one in self.heard if one[1] == payload])

    def send_raw(self, packet: bytes) -> None:
        """Send bytes that no client would."""
        sock = self._client.socket()
        assert sock is not None
        sock.sendall(packet)

    def cut(self) -> None:
        """End without a word, so that the broker sends the last will."""
        sock = self._client.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        leave(self._client)


def openssl(*words: Any) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
