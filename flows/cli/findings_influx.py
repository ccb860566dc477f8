"""What `heatpump doctor` finds of an InfluxDB that is the store; nothing is written into it."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from flows.cli.finding import Finding
from flows.settings import Settings

if TYPE_CHECKING:
    from flows.store.influx.server import InfluxServer

CLOCKS_APART_S = 5.0
"""Retention goes by the server's clock, event times by ours."""

_RIGHTS = "one that may read and write all buckets (InfluxDB: Load Data > API Tokens)"


def influxdb(settings: Settings) -> Generator[Finding, None, bool]:
    """Look at server, clock, token, organisation and buckets; stop at what keeps it from looking further.

    Returns whether there is a store to read.
    """
    from flows.errors import ConfigError, RetryableStoreError
    from flows.model.influx_address import InfluxAddress
    from flows.store.influx.server import InfluxServer

    try:
        address = settings.store
    except ConfigError as error:
        yield Finding("InfluxDB", f"{error.name} is {error.value}, but there is no token", f"It {error.allowed}.")
        return False
    assert isinstance(address, InfluxAddress)
    with closing(InfluxServer(address)) as server:
        try:
            yield from _server(server)
            return (yield from _rights(server))
        except RetryableStoreError as error:
            yield Finding("InfluxDB", str(error).removeprefix("InfluxDB at "), _remedy(error, settings))
            return False


def _remedy(error: Exception, settings: Settings) -> str:
    from flows.store.influx.server import Refused

    if not isinstance(error, Refused):
        return "Is it running, and INFLUXDB_URL right? Until it answers the journal keeps what arrives."
    if error.status == 401:
        return f"INFLUXDB_TOKEN is no token of this server: give {_RIGHTS}."
    if error.status == 403:
        return f"INFLUXDB_TOKEN is not active, or may not do that: give {_RIGHTS}."
    if error.status == 404:
        return f"There is no organisation {settings.influxdb_org!r}: correct INFLUXDB_ORG, or make it in InfluxDB."
    return "See InfluxDB's own log. Until it answers the journal keeps what arrives."


def _server(server: "InfluxServer") -> Iterator[Finding]:
    began = time.time()
    hello = server.hello()
    yield Finding("InfluxDB", f"answers at {server.address.url}, version {hello.version}")
    if hello.at is None:
        return
    # What it says is cut to the second, and is of some instant between question and answer.
    apart = max(hello.at / 1000 - time.time(), began - (hello.at / 1000 + 1), 0.0)
    if apart > CLOCKS_APART_S:
        yield Finding(
            "InfluxDB, clock",
            f"{apart:.0f} s from this machine's",
            "Let chrony or systemd-timesyncd keep both: retention goes by its clock, event times by ours.",
        )


def _rights(server: "InfluxServer") -> Generator[Finding, None, bool]:
    """Look at each bucket: is it there, may the token read and write it, how long does it keep its points.

    Returns whether all can be read.
    """
    from flows.store.influx.buckets import REBUILD, existing, gone, may_make, spoken, wanted

    there, missing, well = existing(server), [], 0
    for name, seconds in wanted(server.address).items():
        may_write = _may_write(server, name)
        if may_write is None:
            missing.append(f"{name} (kept for {spoken(seconds)})")
        elif not may_write or name not in there:
            lacks = " nor ".join(["read"] * (name not in there) + ["write"] * (not may_write))
            yield Finding(
                f"bucket {name}", f"the token may not {lacks} it", f"Give INFLUXDB_TOKEN {_RIGHTS}, or these five."
            )
        elif there[name] != seconds:
            yield _another_retention(name, there[name], seconds)
        else:
            well += 1
    if missing and may_make(server):
        made = f"to be made by the next start: {', '.join(missing)}"
        if gone(server, there):
            made, remedy = f"deleted, with all that they held; {made}", f"After that start, {REBUILD}."
            yield Finding("InfluxDB, buckets", made, remedy)
        else:
            yield Finding("InfluxDB, buckets", made)
    elif missing:
        remedy = f"Make them in InfluxDB, or give INFLUXDB_TOKEN {_RIGHTS}."
        yield Finding("InfluxDB, buckets", f"not there: {', '.join(missing)}; the token may not make them", remedy)
    if well == len(wanted(server.address)):
        yield Finding("InfluxDB, buckets", "all there; the token may read and write them")
    return wanted(server.address).keys() <= there.keys()


def _may_write(server: "InfluxServer", name: str) -> bool | None:
    """Write nothing into a bucket, to see whether one may; None where it is not there."""
    from flows.store.influx.server import Refused

    try:
        server.write(name, b"")
    except Refused as error:
        if error.status not in (403, 404):
            raise
        return None if error.status == 404 else False
    return True


def _another_retention(name: str, there: int, wanted: int) -> Finding:
    from flows.store.influx.buckets import another_retention

    setting = "Set INFLUXDB_RETENTION, or the bucket's" if wanted else "Set the bucket's to never delete"
    is_longer = not there or (there > wanted > 0)
    remedy = (
        f"{setting} (Load Data > Buckets > Settings)."
        if is_longer
        else f"{setting} (Load Data > Buckets > Settings): what it no longer keeps is lost, or refused."
    )
    return Finding(f"bucket {name}", another_retention(name, there, wanted), remedy, mere=is_longer)
