"""The monitoring device: what its sensors say of a heat pump, what faults make of that, and its message."""

from __future__ import annotations

from collections.abc import Sequence

from .changes import Change
from .heat_pump import BOOST, BOOST_C, DEFROST, DHW, POWER_FACTOR, SPACE, HeatPump
from .house import water_j_l_k
from .profiles import PROFILES, Profile
from .row import ALL_VALID, Row, alert_levels
from .times import HOUR_S
from .weather import Weather

VERSION = "1.1.0"


class Device:
    """A monitoring device on a heat pump: what it measures, and in which form it says so.

    flow, counters : whether it has a flow meter and energy counters; None: as the profile says.
    Deterministic for its arguments; ask oldest first.
    """

    def __init__(
        self,
        device_id: str = "site1",
        profile: Profile = PROFILES["terrace"],
        seed: int = 0,
        start_ms: int = 0,
        changes: Sequence[Change] = (),
        flow: bool | None = None,
        counters: bool | None = None,
        weather: Weather | None = None,
    ) -> None:
        self.device_id, self.profile = device_id, profile
        self.pump = HeatPump(profile, seed, start_ms, changes, weather)
        self.noise = self.pump.noise
        self.flow = profile.flow_meter if flow is None else flow
        self.counters = profile.counters if counters is None else counters
        self.heater = profile.backup_w > 0.0 or any(change.name == "heater_stuck" for change in changes)
        self.changes = tuple(changes)
        self.boot: int | None = None
        self.boot_ms = self.pump.start_ms - HOUR_S * 1000
        self.counted_j = (0.0, 0.0)
        self.stuck: float | None = None
        self.said_rssi_ms = 0

    def sample(self, ms: int) -> Row | None:
        """Measure everything at a time; None where the device is silent. [ms since 1970]"""
        if not self.changes:
            return self._measure(ms)
        levels = {change.name: (size, change) for change in self.changes for size in [change.at(ms)] if size}
        if "stuck_sensor" in levels and self.stuck is None:
            self.stuck = self._measure(max(levels["stuck_sensor"][1].start_ms, self.pump.start_ms))["temp_outlet"]
        row = self._measure(ms)
        if "dropout" in levels and self.noise.share(ms // 600_000) < levels["dropout"][0]:
            return None
        if "reboot" in levels and self._boots(row, ms, *levels["reboot"]):
            return None
        if "stuck_sensor" in levels:
            row["temp_outlet"] = self.stuck
        if "spikes" in levels:
            self._spike(row, ms, levels["spikes"][0])
        return row

    def _measure(self, ms: int) -> Row:
        pump, p = self.pump, self.profile
        if pump.end_ms <= ms:
            pump.advance(ms)
        x = 1.0 - (pump.end_ms - ms) / pump.span_ms
        ambient, water, heat, indoor, tank, evaporating, condensing, discharge, power, setpoint = [
            a + (b - a) * x
            for a, b in zip(pump.before, pump.after)  # noqa: B905
        ]
        noise, table = pump.noise, pump.noise.TABLE
        bits = noise.hash(ms)
        one, two, three, four = (
            table[bits & 4095],
            table[bits >> 8 & 4095],
            table[bits >> 16 & 4095],
            table[bits >> 20],
        )
        flow, mode = pump.flow, pump.mode
        half = heat / (flow / 30.0 * water_j_l_k(water)) if flow else 0.0
        slot, rest = divmod(ms, 600_000)
        low, high = noise.slow(slot), noise.slow(slot + 1)
        voltage = round(231.0 + 2.0 * (low + (high - low) * rest / 600_000.0) + 0.2 * one, 1)
        current = round(power * (1.0 + 0.008 * two) / (voltage * POWER_FACTOR), 3)
        psi = pump.refrigerant.gauge_psi
        to_tank = mode == DHW or mode == BOOST or (mode == DEFROST and pump.resume == DHW)
        at_s = ms // 1000
        row = {
            "temp_inlet": round(water - half + 0.02 * three, 2),
            "temp_outlet": round(water + half + 0.02 * four, 2),
            "temp_ambient": round(ambient + 0.05 * one, 1),
            "temp_compressor": round(discharge + 0.1 * two, 1),
            "temp_indoor": round(indoor + 0.02 * three, 2),
            "voltage": voltage,
            "current": current,
            "power": round(voltage * current * POWER_FACTOR, 1),
            "pressure_high": round(psi(condensing) + 0.4 * four, 1),
            "pressure_low": round(psi(evaporating) + 0.2 * two, 1),
            "compressor_running": SPACE <= mode <= DEFROST,
            "fan_running": mode == SPACE or mode == DHW,
            "defrost_active": mode == DEFROST,
            "water_pressure": round(1.35 + 0.009 * water + 0.003 * one, 2),
            "setpoint_flow": round(setpoint, 1),
            "setpoint_indoor": pump.indoor_set(at_s),
        }
        if self.flow:
            row["flow_rate"] = round(flow * (1.0 + 0.004 * three), 2)
        if p.tank_l:
            row["temp_dhw"] = round(tank + 0.03 * four, 2)
            row["dhw_active"] = to_tank
            row["setpoint_dhw"] = BOOST_C if mode == BOOST else p.dhw_c
        if self.heater:
            row["backup_power"] = round(pump.backup_w * (voltage / 230.0) ** 2, 1)
            row["backup_active"] = pump.backup_w > 0.0
        if self.counters:
            left = (1.0 - x) * pump.span_ms / 1000.0
            heat_j = pump.positive_j - left * max(0.5 * (pump.before.heat + pump.after.heat), 0.0)
            electric_j = pump.electric_j - left * 0.5 * (pump.before.power + pump.after.power)
            row["heat_energy"] = round((heat_j - self.counted_j[0]) / 3.6e6, 3)
            row["electric_energy"] = round((electric_j - self.counted_j[1]) / 3.6e6, 3)
        return row

    def _boots(self, row: Row, ms: int, size: float, change: Change) -> bool:
        """Restart every 10 minutes / severity; whether it still starts. The first reading has power-on values."""
        period = int(600_000 / size)
        number, rest = divmod(ms - max(change.start_ms, self.pump.start_ms), period)
        if rest < 45_000 and number:
            return True
        if self.boot is not None and number != self.boot:
            self.boot_ms = ms - rest
            self.counted_j = (self.pump.positive_j, self.pump.electric_j)
            row.update({name: 0.0 for name in ("heat_energy", "electric_energy") if name in row})
            row.update({name: 85.0 for name in ("temp_inlet", "temp_outlet", "temp_ambient")})
        self.boot = number
        return False

    def _spike(self, row: Row, ms: int, size: float) -> None:
        """Severity 1: one reading in ten has an absurd value, some of it physically possible."""
        bits = self.noise.hash(ms + 7)
        if bits % 1000 < 100 * size:
            names = ("temp_outlet", "temp_inlet", "temp_ambient", "power", "pressure_high", "temp_indoor")
            name = names[bits // 1000 % len(names)]
            row[name] = (-127.0, 32767.0, round(row[name] * 2.5 + 20.0, 1))[bits // 7000 % 3]

    def clock_ms(self, ms: int) -> int:
        """What the device's own clock says at a time. [ms]"""
        ahead = sum(change.at(ms) for change in self.changes if change.name == "wrong_clock")
        if any(change.name == "uptime_clock" and change.at(ms) for change in self.changes):
            return int((ms - self.boot_ms) % 2**32)
        return ms + int(ahead * 86_400_000)

    def reading(self, ms: int) -> Row | None:
        """Measure at a time, in the form of docs/reference/mqtt.md; None where the device is silent."""
        row = self.sample(ms)
        return None if row is None else self.payload(ms, row)

    def payload(self, ms: int, row: Row) -> Row:
        """Bring what was measured into the nested form of a message."""
        temperature = {
            "inlet": row["temp_inlet"],
            "outlet": row["temp_outlet"],
            "ambient": row["temp_ambient"],
            "compressor": row["temp_compressor"],
            "indoor": row["temp_indoor"],
        }
        electrical = {"voltage": row["voltage"], "current": row["current"], "power": row["power"]}
        hydraulic = {"pressure": row["water_pressure"]}
        status = {
            "compressor": row["compressor_running"],
            "fan": row["fan_running"],
            "defrost": row["defrost_active"],
        }
        setpoint = {"flow": row["setpoint_flow"], "indoor": row["setpoint_indoor"]}
        message = {
            "device": self.device_id,
            "timestamp": self.clock_ms(ms) if self.changes else ms,
            "version": VERSION,
            "temperature": temperature,
            "electrical": electrical,
            "pressure": {"high": row["pressure_high"], "low": row["pressure_low"]},
            "hydraulic": hydraulic,
            "status": status,
            "setpoint": setpoint,
        }
        if "flow_rate" in row:
            hydraulic["flow"] = row["flow_rate"]
        if "temp_dhw" in row:
            temperature["dhw"], setpoint["dhw"] = row["temp_dhw"], row["setpoint_dhw"]
            status["dhw"] = row["dhw_active"]
        if "backup_power" in row:
            electrical["backup"], status["backup"] = row["backup_power"], row["backup_active"]
        if "heat_energy" in row:
            message["energy"] = {"heat": row["heat_energy"], "electric": row["electric_energy"]}
        message["alerts"] = alert_levels(row)
        message["valid"] = dict(ALL_VALID)
        return message

    def attributes(self) -> dict[str, str]:
        """What it publishes retained under status/: sub-topic -> text."""
        return {"version": VERSION, "simulated": "true"}
