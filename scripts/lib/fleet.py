"""A fleet of heat pumps for benchmarks: readings as sensors send them, made fast and the same for the same seed.

Values have the steps of real sensors (0.1 °C, 0.1 V, 0.01 A, 0.25 W, 0.1 psi), noise, and the slow movement of a
machine that starts, stops, defrosts and heats water. Nothing is constant for long, so rollups and disk are honest.
"""

import random
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

STEP_MS = 10_000
HOURS = STEP_MS / 3_600_000
KJ_PER_L_MIN = 4186 / 60

LIFT_K = {"space": 5.0, "dhw": 6.0, "defrost": -6.0, "standby": 0.0}
POWER_W = {"space": 1900.0, "dhw": 2400.0, "defrost": 1100.0, "standby": 15.0}
NEXT = {"standby": ("space", "space", "dhw"), "space": ("standby", "standby", "defrost"), "dhw": ("standby",)}
STEPS = {"space": (60, 240), "dhw": (90, 200), "defrost": (18, 40), "standby": (40, 240)}
"""How long a mode lasts, in readings 10 s apart."""


class Payload(StrEnum):
    """measured: 20 quantities and 5 alert levels. contract: the full reading of docs/reference/mqtt.md."""

    measured = "measured"
    contract = "contract"


MEASURED = (
    '{"device":"%s","timestamp":%d,"version":"1.0.0",'
    '"temperature":{"inlet":%.1f,"outlet":%.1f,"ambient":%.1f,"compressor":%.1f,"indoor":%.1f,"dhw":%.1f},'
    '"electrical":{"voltage":%.1f,"current":%.2f,"power":%.2f},"pressure":{"high":%.1f,"low":%.1f},'
    '"status":{"compressor":%s,"fan":%s,"defrost":%s,"dhw":%s},"hydraulic":{"flow":%.1f,"pressure":%.2f},'
    '"setpoint":{"flow":%.1f},"energy":{"heat":%.2f,"electric":%.2f},'
    '"alerts":{"voltage":%d,"compressor_temp":0,"pressure_high":0,"pressure_low":0,"current":0}}'
)
CONTRACT = (
    '{"device":"%s","timestamp":%d,"version":"1.0.0",'
    '"temperature":{"inlet":%.1f,"outlet":%.1f,"ambient":%.1f,"compressor":%.1f},'
    '"electrical":{"voltage":%.1f,"current":%.2f,"power":%.2f},"pressure":{"high":%.1f,"low":%.1f},'
    '"status":{"compressor":%s,"fan":%s,"defrost":%s},'
    '"alerts":{"voltage":%d,"compressor_temp":0,"pressure_high":0,"pressure_low":0,"current":0},'
    '"valid":{"temp_inlet":true,"temp_outlet":true,"temp_ambient":true,"temp_compressor":true,'
    '"voltage":true,"current":true,"pressure_high":true,"pressure_low":true}}'
)
FLAG = ("false", "true")


class Pump:
    """One machine; each call of `text` is one reading, 10 s after the one before."""

    def __init__(self, number: int, seed: str = "bench") -> None:
        self.device_id = f"pump{number:05d}"
        rng = random.Random(f"{seed}/{number}")
        self._random, self._between = rng.random, rng.randint
        self._choose = rng.choice
        self._mode = rng.choice(tuple(LIFT_K))
        self._left = rng.randint(1, STEPS[self._mode][1])
        self._water, self._tank, self._room = rng.uniform(28, 36), rng.uniform(44, 52), rng.uniform(19.5, 21.5)
        self._ambient, self._voltage = rng.uniform(-4, 10), 231.0
        self._lift, self._power, self._hot = LIFT_K[self._mode], POWER_W[self._mode], 45.0
        self._bar, self._setpoint = rng.uniform(1.3, 1.9), 35.0
        self._heat, self._electric = rng.uniform(500, 20_000), rng.uniform(200, 6_000)

    def text(self, at: int, payload: Payload = Payload.measured) -> str:
        """Make the next reading as JSON. at: [ms since 1970, UTC]"""
        noise = self._random
        mode = self._step()
        running, defrost, dhw = mode != "standby", mode == "defrost", mode == "dhw"
        outlet = self._water + self._lift / 2 + 0.2 * noise()
        inlet = self._water - self._lift / 2 + 0.2 * noise()
        power = round(4 * (self._power + 30 * noise())) / 4
        flow = 19.0 + 2 * noise() if running else 0.0
        self._electric += power / 1000 * HOURS
        self._heat += flow * KJ_PER_L_MIN * (outlet - inlet) / 1000 * HOURS
        voltage = self._voltage + 0.4 * noise()
        temperatures = (inlet, outlet, self._ambient + 0.1 * noise(), self._hot + 0.3 * noise())
        electrical = (voltage, power / (voltage * 0.95), power)
        pressures = (
            140 + 2.2 * self._hot * running + 2 * noise(),
            (68 if running else 130) + self._ambient + noise(),
        )
        flags = (FLAG[running], FLAG[running and not defrost], FLAG[defrost])
        level = int(not 215 < voltage < 245)
        if payload is Payload.contract:
            return CONTRACT % (self.device_id, at, *temperatures, *electrical, *pressures, *flags, level)
        more = (self._room + 0.1 * noise(), self._tank + 0.1 * noise())
        water = (flow, self._bar + 0.02 * noise(), self._setpoint, self._heat, self._electric)
        return MEASURED % (
            *(self.device_id, at, *temperatures, *more, *electrical, *pressures, *flags, FLAG[dhw], *water),
            level,
        )

    def _step(self) -> str:
        """Let 10 s pass."""
        noise, mode = self._random, self._mode
        self._left -= 1
        if self._left <= 0:
            mode = self._mode = self._choose(NEXT.get(mode, ("space",)))
            self._left = self._between(*STEPS[mode])
            self._setpoint = 35.0 + self._between(-4, 4) / 2
        self._lift += (LIFT_K[mode] - self._lift) * 0.15
        self._power += (POWER_W[mode] * (0.9 + 0.2 * noise()) - self._power) * 0.25
        self._hot += ((25.0 if mode == "standby" else 68.0) - self._hot) * 0.04
        self._water += ((50.0 if mode == "dhw" else 32.0) - self._water) * 0.01 + 0.1 * (noise() - 0.5)
        self._tank += 0.02 if mode == "dhw" else -0.003
        self._room += 0.02 * (noise() - 0.5)
        self._ambient += 0.05 * (noise() - 0.5)
        self._voltage += (231.0 - self._voltage) * 0.03 + 4 * (noise() - 0.5)
        return mode


class Fleet:
    """Readings of many devices: event times one step apart a device, up to about now.

    rounds  : readings a device. Device d of n sends d/n steps after the first.
    step_ms : from reading to reading of a device; values move as in 10 s all the same. [ms]
    first   : event time of the first. [ms since 1970, UTC]
    """

    def __init__(
        self, devices: int, rounds: int, now: int, payload: Payload = Payload.measured, step_ms: int = STEP_MS
    ) -> None:
        self.devices, self.rounds, self.payload, self.step_ms = devices, rounds, payload, step_ms
        self.first = now - rounds * step_ms

    def at(self, number: int, turn: int) -> int:
        """When a device measures its n-th reading. [ms since 1970, UTC]"""
        return self.first + turn * self.step_ms + number * self.step_ms // self.devices

    def readings(self, number: int) -> Iterator[str]:
        """All readings of one device, in order."""
        pump = Pump(number)
        return (pump.text(self.at(number, turn), self.payload) for turn in range(self.rounds))

    def messages(self, per_message: int) -> Iterator[tuple[str, bytes]]:
        """Everything as topic and payload: device after device, each with its next readings; then again."""
        streams = [
            (f"heatpump/{Pump(number).device_id}/data", self.readings(number)) for number in range(self.devices)
        ]
        for _ in range(0, self.rounds, per_message):
            for topic, stream in streams:
                texts = list(islice(stream, per_message))
                yield topic, (texts[0] if per_message == 1 else f"[{','.join(texts)}]").encode()
