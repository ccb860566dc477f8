"""The MQTT side: one connection to the broker, of one device or of many."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .console import complain, say
from .device import Device


class Connection:
    """The MQTT side of one device or of many: last will, status, what is kept while the broker is away.

    The last will can name one device: of those that share a connection the first; the others are found silent.
    refused : why the broker will not have it, once it has said so.
    """

    LOGIN_REFUSED = (1, 2, 4, 5, 132, 133, 134, 135, 138)
    MOST_WAITING = 10_000

    def __init__(self, args: argparse.Namespace, devices: Sequence[Device], stop: threading.Event) -> None:
        self.devices = devices
        self.broker, self.port = args.broker, args.port
        self.address = f"{args.broker}:{args.port}"
        self.stop = stop
        self.refused = ""
        self.answered = False
        first = devices[0].device_id
        self.client = new_client("simulator-" + first)
        if args.password:
            self.client.username_pw_set(args.user or first, args.password)
        if args.ca:
            self.client.tls_set(ca_certs=args.ca)
        self.client.will_set(f"heatpump/{first}/status/online", "false", qos=1, retain=True)
        self.client.reconnect_delay_set(1, 30)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(200)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.client.on_publish = self._published
        # Counted by one thread each: readings by the main one, status and answers by the client's.
        self.sent = self.said = self.acknowledged = 0

    def open(self) -> None:
        """Connect; while the broker is away, say so and try again, ever more slowly."""
        wait_s = 1
        while not self.stop.is_set():
            try:
                self.client.connect(self.broker, self.port, keepalive=30)
            except (OSError, ValueError) as error:
                reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
                complain(f"no broker at {self.address} ({reason}); trying again in {wait_s} s")
                self.stop.wait(wait_s)
                wait_s = min(wait_s * 2, 30)
            else:
                self.client.loop_start()
                return

    def send(self, topic: str, text: str) -> None:
        """Publish at QoS 1; while disconnected it is kept and sent later."""
        self.client.publish(topic, text, qos=1)
        self.sent += 1

    @property
    def full(self) -> bool:
        """Whether so much waits for the broker that no more should be measured."""
        return self.sent + self.said - self.acknowledged >= self.MOST_WAITING + 5 * len(self.devices)

    def close(self, says_offline: bool = True) -> None:
        """Send what waits and say goodbye; give up after 2 s in which the broker takes nothing.

        says_offline : False for devices of a site that rests as a whole: nobody there is to miss them.
        """
        if self.client.is_connected():
            for device in self.devices if says_offline else ():
                self.client.publish(f"heatpump/{device.device_id}/status/online", "false", qos=1, retain=True)
                self.sent += 1
            progress, since_s = self.acknowledged, time.monotonic()
            while self.acknowledged < self.sent + self.said and time.monotonic() < since_s + 2.0:
                time.sleep(0.02)
                if self.acknowledged > progress:
                    progress, since_s = self.acknowledged, time.monotonic()
        self.client.disconnect()
        with suppress(AttributeError):  # its thread may end between paho's look at it and its wait for it
            self.client.loop_stop()

    def _connected(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any = None) -> None:
        self.answered = True
        code = getattr(reason, "value", reason)
        if code in self.LOGIN_REFUSED:
            self.refused = f"the broker at {self.address} refuses this device: check --user and --password"
            self.stop.set()
        elif code == 0:
            say(f"connected to {self.address}")
            for device in self.devices:
                status = f"heatpump/{device.device_id}/status/"
                for name, text in (("online", "true"), *device.attributes().items()):
                    client.publish(status + name, text, qos=1, retain=True)
                    self.said += 1

    def _published(self, *_args: Any) -> None:
        self.acknowledged += 1

    def _disconnected(self, *_args: Any) -> None:
        answered, self.answered = self.answered, False
        if self.stop.is_set():
            return
        if not answered:
            complain(f"the broker at {self.address} closes the connection unasked; is MQTT_PASSWORD right?")
        else:
            complain(f"lost the broker at {self.address}; readings are kept until it is back")


def new_client(client_id: str) -> Any:
    """Make a client of paho-mqtt 1.6 or 2.x."""
    try:
        import paho.mqtt.client as mqtt
    except ImportError:
        sys.exit("simulate_device.py: paho-mqtt is missing: pip install paho-mqtt")
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
    return mqtt.Client(client_id=client_id)
