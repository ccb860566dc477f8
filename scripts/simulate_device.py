#!/usr/bin/env python3
"""Play heat pumps over MQTT, as devices in the field would.

    python scripts/simulate_device.py --device-id site1 --interval 10

Needs Python 3.8 or newer, paho-mqtt 1.6 or 2.x and the folder lib/simulator beside it, nothing else of the
project. Ctrl-C ends it. Its model, assumptions and limits: docs/explanation/simulator.md.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.simulator.backfill import bring_history
from lib.simulator.changes import EVENTS, FAULTS, NEVER_MS, Change, parse_change
from lib.simulator.connection import Connection
from lib.simulator.console import complain
from lib.simulator.device import Device
from lib.simulator.heat_pump import HeatPump
from lib.simulator.options import make_devices, parse
from lib.simulator.profiles import PROFILES
from lib.simulator.publish import Pace, publish
from lib.simulator.refrigerant import REFRIGERANTS
from lib.simulator.row import alert_level, alert_levels
from lib.simulator.tables import columns, mapping, rows, write_csv
from lib.simulator.times import parse_span, parse_time
from lib.simulator.weather import COAST, INLAND, Weather

__all__ = [
    "COAST",
    "EVENTS",
    "FAULTS",
    "INLAND",
    "NEVER_MS",
    "PROFILES",
    "REFRIGERANTS",
    "Change",
    "Connection",
    "Device",
    "HeatPump",
    "Weather",
    "alert_level",
    "alert_levels",
    "columns",
    "make_devices",
    "parse",
    "parse_change",
    "parse_span",
    "parse_time",
    "rows",
]
"""What the demo and the tests take, too."""


def main() -> int:
    args = parse()
    begin_ms = args.now_ms if args.start_ms is None else args.start_ms
    devices = make_devices(args, begin_ms - args.backfill_ms if args.since_ms is None else args.since_ms)
    if args.mapping:
        sys.stdout.write(mapping(devices[0]))
        return 0
    if args.csv:
        try:
            write_csv(devices[0], [(begin_ms, args.end_ms, args.interval)], sys.stdout)
            sys.stdout.flush()
        except (BrokenPipeError, KeyboardInterrupt):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else closing complains once more
            return 1
        return 0
    if args.backfill:
        failed = bring_history(devices, begin_ms - args.backfill_ms, begin_ms, args.interval)
        if failed:
            complain(failed)
            return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    refused = publish(devices, args, Pace(args.speed or 1.0, args.start_ms), begin_ms, stop)
    if refused:
        complain(refused)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
