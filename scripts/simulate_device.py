#!/usr/bin/env python3
"""Play one heat pump over MQTT, as a device in the field would.

    python scripts/simulate_device.py --device-id site1 --interval 10

Runs alone: Python 3.8 or newer and paho-mqtt 1.6 or 2.x, nothing else. Ctrl-C ends it cleanly.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import sys
import threading
import time
from typing import Any

VERSION = "1.0.0"
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

SENSORS = (
    "temp_inlet",
    "temp_outlet",
    "temp_ambient",
    "temp_compressor",
    "voltage",
    "current",
    "pressure_high",
    "pressure_low",
)

STEP_S = 5.0
FLOW_L_MIN = 20.0
WATER_J_K = 4186.0 * 60.0
ROOM_J_K = 10e6
LOSS_W_K = 150.0
EMITTER_W_K = 420.0
ROOM_LOW_C, ROOM_HIGH_C = 20.7, 21.3
POWER_FACTOR = 0.95
STANDBY_W = 15.0
DEFROST_S = 300.0

ALERT_LEVELS = {
    "voltage": ((215.0, 245.0), (210.0, 250.0)),
    "compressor_temp": ((-99.0, 85.0), (-99.0, 95.0)),
    "pressure_high": ((-99.0, 400.0), (-99.0, 450.0)),
    "pressure_low": ((40.0, 999.0), (20.0, 999.0)),
    "current": ((-1.0, 12.0), (-1.0, 15.0)),
}
"""By alert: lowest and highest value that is still well, then that is still no critical one."""


def saturation_psi(temperature_c: float) -> float:
    """Gauge pressure at which R410A condenses, fitted from -35 to 65 C. [psig]"""
    return math.exp(13.3291 - 2300.35 / (temperature_c + 268.11)) - 14.7


def outdoor_c(at_s: float) -> float:
    """Outdoor temperature of a winter day: 0 C before dawn, 8 C in the afternoon. [C]"""
    return 4.0 - 4.0 * math.cos((at_s / 3600.0 - 4.0) * math.pi / 12.0)


class HeatPump:
    """An air-to-water heat pump that keeps one room warm.

    Its water follows the heat it gives, its pressures follow its temperatures, its power follows heat and lift.
    Deterministic: the same seed asked at the same times gives the same readings.
    """

    def __init__(self, seed: int, at_s: float) -> None:
        self.random = random.Random(seed)
        self.at_s = at_s
        self.indoor = ROOM_LOW_C + self.random.uniform(-0.05, 0.0)
        self.water = self.indoor + 2.0
        self.discharge = self.evaporating = self.condensing = outdoor_c(at_s)
        self.running = True
        self.output = 0.0
        self.frost = self.random.uniform(0.0, 0.5)
        self.defrost_left_s = 0.0
        self.voltage = 231.0

    def advance(self, at_s: float) -> None:
        """Let time pass until `at_s`. [s since 1970]"""
        while self.at_s < at_s:
            step = min(STEP_S, at_s - self.at_s)
            self.at_s += step
            self._step(step)

    @property
    def defrosting(self) -> bool:
        return self.defrost_left_s > 0.0

    def _step(self, dt: float) -> None:
        ambient = outdoor_c(self.at_s)
        self._decide(ambient, dt)
        wanted = 0.0
        if self.defrosting:
            wanted = -4000.0
        elif self.running:
            wanted = 7000.0 * (1.0 + 0.02 * (ambient - 2.0)) * (1.0 - 0.2 * self.frost)
        self.output = follow(self.output, wanted, dt, 60.0)
        if wanted == 0.0 and abs(self.output) < 50.0:
            self.output = 0.0
        emitted = EMITTER_W_K * (self.water - self.indoor)
        self.water += (self.output - emitted) * dt / WATER_J_K
        self.indoor += (emitted - LOSS_W_K * (self.indoor - ambient)) * dt / ROOM_J_K
        self._refrigerant(ambient, dt)
        self.voltage = follow(self.voltage, 231.0 + self.random.gauss(0.0, 6.0), dt, 300.0)

    def _decide(self, ambient: float, dt: float) -> None:
        """Thermostat with hysteresis; frost grows while it runs in the cold, and a defrost melts it."""
        if self.defrosting:
            self.defrost_left_s -= dt
            return
        if self.indoor < ROOM_LOW_C:
            self.running = True
        elif self.indoor > ROOM_HIGH_C:
            self.running = False
        if self.running and ambient < 5.0:
            self.frost += dt / 5400.0 * (1.0 + 0.1 * (5.0 - ambient))
        if self.frost >= 1.0:
            self.frost, self.defrost_left_s = 0.0, DEFROST_S

    def _refrigerant(self, ambient: float, dt: float) -> None:
        """Saturation temperatures of the two sides; at rest both come to the outdoor temperature."""
        evaporating = condensing = discharge = ambient
        if self.defrosting:
            evaporating, condensing, discharge = self.inlet - 18.0, 14.0, 45.0
        elif self.running:
            evaporating = ambient - 7.0 - 3.0 * self.frost
            condensing = self.outlet + 2.5
            discharge = condensing + 10.0 + 0.35 * (condensing - evaporating)
        self.evaporating = follow(self.evaporating, evaporating, dt, 40.0)
        self.condensing = follow(self.condensing, condensing, dt, 40.0)
        self.discharge = follow(self.discharge, discharge, dt, 240.0)

    @property
    def flow_l_min(self) -> float:
        return FLOW_L_MIN if self.running or self.output != 0.0 else 0.0

    @property
    def delta_k(self) -> float:
        return self.output / (FLOW_L_MIN / 60.0 * 4186.0)

    @property
    def outlet(self) -> float:
        return self.water + self.delta_k / 2.0

    @property
    def inlet(self) -> float:
        return self.water - self.delta_k / 2.0

    def power_w(self) -> float:
        """Electrical power: heat over 45 % of Carnot's COP. [W]"""
        if self.defrosting:
            return 1100.0
        if not self.running:
            return STANDBY_W
        lift = max(self.condensing - self.evaporating, 15.0)
        return STANDBY_W + max(self.output, 1500.0) / (0.45 * (self.condensing + 273.0) / lift)

    def reading(self, device_id: str, at_s: float) -> dict[str, Any]:
        """Measure everything at `at_s`, in the form of docs/reference/mqtt.md. [s since 1970]"""
        self.advance(at_s)
        noise = self.random.gauss
        voltage = round(self.voltage + noise(0.0, 0.2), 1)
        current = round(self.power_w() * (1.0 + noise(0.0, 0.01)) / (voltage * POWER_FACTOR), 2)
        temperature = {
            "inlet": self.inlet,
            "outlet": self.outlet,
            "ambient": outdoor_c(at_s),
            "compressor": self.discharge,
            "indoor": self.indoor,
        }
        temperature = {name: round(value + noise(0.0, 0.05), 1) for name, value in temperature.items()}
        pressure = {
            "high": round(saturation_psi(self.condensing) + noise(0.0, 0.5), 1),
            "low": round(saturation_psi(self.evaporating) + noise(0.0, 0.3), 1),
        }
        measured = {
            "voltage": voltage,
            "compressor_temp": temperature["compressor"],
            "pressure_high": pressure["high"],
            "pressure_low": pressure["low"],
            "current": current,
        }
        return {
            "device": device_id,
            "timestamp": int(at_s * 1000),
            "version": VERSION,
            "temperature": temperature,
            "electrical": {
                "voltage": voltage,
                "current": current,
                "power": round(voltage * current * POWER_FACTOR, 2),
            },
            "pressure": pressure,
            "hydraulic": {"flow": round(self.flow_l_min, 1)},
            "status": {
                "compressor": self.running or self.defrosting,
                "fan": self.running and not self.defrosting,
                "defrost": self.defrosting,
            },
            "alerts": {name: alert_level(name, value) for name, value in measured.items()},
            "valid": {name: True for name in SENSORS},
        }


def follow(value: float, target: float, dt_s: float, time_constant_s: float) -> float:
    """Let a value approach its target."""
    return value + (target - value) * (1.0 - math.exp(-dt_s / time_constant_s))


def alert_level(name: str, value: float) -> int:
    """Judge a value as the firmware does: 0 ok, 1 warning, 2 critical."""
    return sum(not low < value < high for low, high in ALERT_LEVELS[name])


class Connection:
    """The device's MQTT side: last will, online status, and what is kept while the broker is away.

    refused : why the broker will not have this device, once it has said so.
    """

    LOGIN_REFUSED = (1, 2, 4, 5, 132, 133, 134, 135, 138)

    def __init__(self, args: argparse.Namespace, stop: threading.Event) -> None:
        self.root = "heatpump/" + args.device_id
        self.broker, self.port = args.broker, args.port
        self.address = f"{args.broker}:{args.port}"
        self.stop = stop
        self.refused = ""
        self.answered = False
        self.client = new_client("simulator-" + args.device_id)
        if args.password:
            self.client.username_pw_set(args.user or args.device_id, args.password)
        self.client.will_set(self.root + "/status/online", "false", qos=1, retain=True)
        self.client.reconnect_delay_set(1, 30)
        self.client.max_queued_messages_set(10000)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.client.on_publish = self._published
        self.acknowledged = 0

    def open(self) -> None:
        """Connect; while the broker is away, say so and try again, ever more slowly."""
        wait_s = 1
        while not self.stop.is_set():
            try:
                self.client.connect(self.broker, self.port, keepalive=30)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                complain(f"no broker at {self.address} ({reason}); trying again in {wait_s} s")
                self.stop.wait(wait_s)
                wait_s = min(wait_s * 2, 30)
            else:
                self.client.loop_start()
                return

    def send(self, topic: str, text: str) -> None:
        """Publish at QoS 1; while disconnected it is kept and sent later."""
        self.client.publish(self.root + topic, text, qos=1)

    def close(self) -> None:
        """Say goodbye: offline, so that the last will is not needed."""
        if self.client.is_connected():
            goodbye = self.client.publish(self.root + "/status/online", "false", qos=1, retain=True).mid
            deadline = time.monotonic() + 2.0
            while self.acknowledged != goodbye and time.monotonic() < deadline:
                time.sleep(0.02)
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any = None) -> None:
        self.answered = True
        code = getattr(reason, "value", reason)
        if code in self.LOGIN_REFUSED:
            self.refused = f"the broker at {self.address} refuses this device: check --user and --password"
            self.stop.set()
        elif code == 0:
            say(f"connected to {self.address}")
            client.publish(self.root + "/status/online", "true", qos=1, retain=True)
            client.publish(self.root + "/status/version", VERSION, qos=1, retain=True)

    def _published(self, _client: Any, _userdata: Any, mid: int, *_more: Any) -> None:
        self.acknowledged = mid

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


def say(line: str, to: Any = None) -> None:
    """Print one line whole: two threads print here."""
    out = to or sys.stdout
    out.write(line + "\n")
    out.flush()


def complain(sentence: str) -> None:
    say("simulate_device.py: " + sentence, to=sys.stderr)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong arguments end with code 2."""
    parser = argparse.ArgumentParser(description="Play one heat pump over MQTT, as a device in the field would.")
    add = parser.add_argument
    add("--device-id", default="site1", help="its name, in topics and payloads (default: %(default)s)")
    add("--interval", type=float, default=10.0, help="seconds between readings, 0.1 to 3600 (default: 10)")
    add("--broker", default=os.environ.get("MQTT_BROKER") or "127.0.0.1", help="host (default: %(default)s)")
    add("--port", type=int, default=1883, help="port of the broker (default: %(default)s)")
    add("--user", default=os.environ.get("MQTT_USER", ""), help="MQTT user (default: MQTT_USER, or the device id)")
    add("--password", default=os.environ.get("MQTT_PASSWORD", ""), help="MQTT password (default: MQTT_PASSWORD)")
    add("--seed", type=int, default=None, help="makes the readings repeatable at the same times")
    args = parser.parse_args(arguments)
    if not DEVICE_ID.fullmatch(args.device_id):
        parser.error(f"--device-id: {args.device_id!r} must be 1 to 64 letters, digits, _ . or -")
    if not 0.1 <= args.interval <= 3600.0:
        parser.error(f"--interval: {args.interval:g} is not from 0.1 to 3600 seconds")
    if not 1 <= args.port <= 65535:
        parser.error(f"--port: {args.port} is not from 1 to 65535")
    if not args.broker:
        parser.error("--broker: must name a host")
    return args


def main() -> int:
    args = parse()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    connection = Connection(args, stop)
    connection.open()
    seed = random.randrange(2**32) if args.seed is None else args.seed
    pump, radio = HeatPump(seed, time.time()), random.Random(seed)
    due = time.monotonic()
    while not stop.is_set():
        reading = pump.reading(args.device_id, time.time())
        connection.send("/data", json.dumps(reading, separators=(",", ":")))
        connection.send("/status/rssi", str(round(radio.gauss(-62.0, 2.0))))
        say(summary(reading))
        due = max(due + args.interval, time.monotonic())
        stop.wait(due - time.monotonic())
    connection.close()
    if connection.refused:
        complain(connection.refused)
        return 1
    return 0


def summary(reading: dict[str, Any]) -> str:
    """Say a reading in one line."""
    temperature, status = reading["temperature"], reading["status"]
    doing = "defrost" if status["defrost"] else "heating" if status["compressor"] else "standby"
    at = time.strftime("%H:%M:%S", time.localtime(reading["timestamp"] / 1000))
    water = f"flow {temperature['outlet']:.1f} C  return {temperature['inlet']:.1f} C"
    return (
        f"{at}  {doing}  {water}  outdoor {temperature['ambient']:.1f} C  {reading['electrical']['power']:.0f} W"
    )


if __name__ == "__main__":
    sys.exit(main())
