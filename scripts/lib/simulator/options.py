"""The command line: its options, what they come to, and the devices that they ask for."""

from __future__ import annotations

import argparse
import os
import random
import re
import ssl
import time

from .changes import EVENTS, FAULTS, NEVER_MS, parse_change
from .device import Device
from .profiles import PROFILES, varied
from .times import DAY_S, parse_span, parse_time
from .weather import Weather

DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def make_parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<17} {text}" for name, text in {**FAULTS, **EVENTS}.items())
    parser = argparse.ArgumentParser(
        description="Play heat pumps over MQTT, as devices in the field would.",
        epilog=f"faults and events:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environment = os.environ.get
    add = parser.add_argument
    add("--device-id", default="site1", help="its name, in topics and payloads (default: %(default)s)")
    add("--devices", type=int, default=1, metavar="N", help="so many: site1 to siteN, of all profiles in turn")
    add("--profile", choices=sorted(PROFILES), help="house and unit (default: terrace)")
    add("--interval", type=float, default=10.0, help="seconds between readings, 0.1 to 3600 (default: 10)")
    add("--broker", default=environment("MQTT_BROKER") or "127.0.0.1", help="host (default: %(default)s)")
    add("--port", type=int, help="port of the broker (default: 1883, with --ca 8883)")
    add(
        "--ca",
        default=environment("HEATPUMP_MQTT_CA", ""),
        metavar="FILE",
        help="CA of the broker's certificate: MQTT over TLS (default: HEATPUMP_MQTT_CA)",
    )
    add("--user", default=environment("MQTT_USER", ""), help="MQTT user (default: MQTT_USER, or the device id)")
    add("--password", default=environment("MQTT_PASSWORD", ""), help="MQTT password (default: MQTT_PASSWORD)")
    add("--seed", type=int, default=None, help="makes the readings repeatable at the same times")
    add("--speed", type=float, default=None, metavar="X", help="so many times as fast, until it reaches now")
    add("--start", metavar="T", help="simulated time it starts at: ISO 8601, UTC, or -3d (with --speed: -24h)")
    add("--end", metavar="T", help="simulated time it ends at")
    add("--since", metavar="T", help="the house's own start, before --start: goes on from a history made earlier")
    add("--backfill", metavar="SPAN", help="import so much history first (14d, 36h), then go on live")
    add("--csv", action="store_true", help="write the readings from --start to --end as CSV; needs no broker")
    add("--mapping", action="store_true", help="write the mapping with which `heatpump import csv` reads it")
    add("--fault", action="append", default=[], metavar="NAME[:SEVERITY][@START[..END]]", help="severity 0 to 1")
    add("--event", action="append", default=[], metavar="NAME[:K][@START[..END]]", help="a setting that changes")
    add(
        "--flow",
        dest="flow",
        action="store_true",
        default=None,
        help="with a flow meter (default: as the profile)",
    )
    add("--no-flow", dest="flow", action="store_false", help="without one")
    add("--counters", dest="counters", action="store_true", default=None, help="with energy counters")
    add("--no-counters", dest="counters", action="store_false", help="without")
    return parser


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong arguments end with code 2.

    Adds what they come to: now_ms, start_ms (None: now), end_ms, since_ms (None: the start), backfill_ms, changes.
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    now_ms = args.now_ms = int(time.time() * 1000)
    if not DEVICE_ID.fullmatch(args.device_id):
        parser.error(f"--device-id: {args.device_id!r} must be 1 to 64 letters, digits, _ . or -")
    if not 0.1 <= args.interval <= 3600.0:
        parser.error(f"--interval: {args.interval:g} is not from 0.1 to 3600 seconds")
    if args.ca:
        try:
            ssl.create_default_context(cafile=args.ca)
        except OSError as error:  # of ssl too
            parser.error(f"--ca: {args.ca} is no certificate that can be read ({error.strerror or error})")
    if args.port is None:
        args.port = 8883 if args.ca else 1883
    if not 1 <= args.port <= 65535:
        parser.error(f"--port: {args.port} is not from 1 to 65535")
    if not args.broker:
        parser.error("--broker: must name a host")
    if not 1 <= args.devices <= 100_000:
        parser.error(f"--devices: {args.devices} is not from 1 to 100000")
    if args.speed is not None and not 0.01 <= args.speed <= 1e6:
        parser.error(f"--speed: {args.speed:g} is not from 0.01 to 1000000")
    option = ""
    try:
        option = "--start"
        start = args.start or ("-24h" if args.speed or args.csv else None)
        args.start_ms = parse_time(start, now_ms) if start else None
        option = "--end"
        args.end_ms = parse_time(args.end, now_ms) if args.end else now_ms if args.csv else NEVER_MS
        option = "--since"
        args.since_ms = parse_time(args.since, now_ms) if args.since else None
        option = "--backfill"
        args.backfill_ms = parse_span(args.backfill) if args.backfill else 0
        option = "--fault"
        args.changes = [parse_change(text, now_ms, FAULTS) for text in args.fault]
        option = "--event"
        args.changes += [parse_change(text, now_ms, EVENTS) for text in args.event]
    except (ValueError, OverflowError) as error:
        parser.error(f"{option}: {error}")
    if args.end_ms <= (now_ms if args.start_ms is None else args.start_ms):
        parser.error("--end: is not after the start")
    begin_ms = (now_ms if args.start_ms is None else args.start_ms) - args.backfill_ms
    if args.since_ms is not None and not 0 <= begin_ms - args.since_ms <= 10 * 366 * DAY_S * 1000:
        parser.error("--since: must be before the start, at most ten years")
    if args.csv and args.devices > 1:
        parser.error("--csv: writes one device, not --devices")
    if args.backfill and (args.start or args.speed or args.csv):
        parser.error("--backfill: goes on live from now, so not with --start, --speed or --csv")
    if args.backfill and args.devices > 20:
        parser.error("--backfill: at most 20 devices, each is an import of its own")
    return args


def make_devices(args: argparse.Namespace, start_ms: int) -> list[Device]:
    """Make the devices that a command line asks for; several are neighbours under the same weather."""
    seed = random.randrange(2**32) if args.seed is None else args.seed
    prefix = args.device_id.rstrip("0123456789")
    first = int(args.device_id[len(prefix) :] or 1)
    names = [args.profile] if args.profile else list(PROFILES) if args.devices > 1 else ["terrace"]
    weather = {name: Weather(PROFILES[name].climate, seed) for name in names}
    devices = []
    for index in range(args.devices):
        name = names[index % len(names)]
        devices.append(
            Device(
                args.device_id if args.devices == 1 else f"{prefix}{first + index}",
                varied(PROFILES[name], seed + index) if index else PROFILES[name],
                seed + index,
                start_ms,
                args.changes,
                args.flow,
                args.counters,
                weather[name],
            )
        )
    return devices
