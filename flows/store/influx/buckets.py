"""The buckets of an installation: made and checked at start; changed only where somebody asks for that."""

import logging
from collections.abc import Collection
from typing import Any

from influxdb_client.domain.bucket import Bucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.buckets import Buckets

from flows.model.influx_address import InfluxAddress
from flows.store.influx import fences
from flows.store.influx.server import InfluxServer, Refused

log = logging.getLogger("heatpump.store")

REBUILD = "`heatpump rebuild` stores again what of it the journal still has"
"""What to do about a bucket that is gone."""


def prepare(server: InfluxServer) -> None:
    """Make the buckets that are missing. A bucket with another retention than ours is told, and left as it is.

    So is one that is missing though the store was fed: somebody deleted it.
    Raises RetryableStoreError: the server is away, refuses the token or organisation, or to make a bucket.
    """
    there = existing(server)
    deleted = gone(server, there)
    for name, seconds in wanted(server.address).items():
        if name not in there:
            make(server, name, seconds)
            if name in deleted:
                log.warning("bucket %s was gone and is made anew, empty: %s", name, REBUILD)
        elif there[name] != seconds:
            log.warning("%s", another_retention(name, there[name], seconds))


def wanted(address: InfluxAddress) -> dict[str, int]:
    """List the buckets of an installation with their retentions, 0: for ever. [s]"""
    return {name: (kept_ms or 0) // 1000 for name, kept_ms in address.retentions.items()}


def existing(server: InfluxServer) -> dict[str, int]:
    """Read which of our buckets are there and readable, with their retentions, 0: for ever. [s]

    By name: a list is cut into pages before it is known what the token may see, and ends at the first gap.
    """
    found = (bucket for name in server.address.retentions for bucket in _find(server, name=name))
    return {bucket.name: next((rule.every_seconds for rule in bucket.retention_rules), 0) for bucket in found}


def gone(server: InfluxServer, there: Collection[str]) -> list[str]:
    """Name the buckets that a flow has written into and that are not there any more. there: those that are.

    A fence is in the meta bucket, so without that one nobody knows: the first start makes all that are missing.
    """
    missing = [name for name in server.address.retentions if name not in there]
    if not missing or server.address.meta in missing or fences.read(server) is None:
        return []
    return missing


def make(server: InfluxServer, name: str, seconds: int) -> None:
    """Make a bucket. seconds: its retention, 0: for ever."""
    org = organisation(server)
    if org is None:
        raise Refused(
            f"InfluxDB at {server.address.url} shows the token no bucket {name!r}, and does not let it make one: "
            "INFLUXDB_TOKEN must be one that may read and write all buckets, or make the buckets yourself",
            403,
        )
    rules = [BucketRetentionRules(type="expire", every_seconds=seconds)] if seconds else []
    with server.speaking(f"make bucket {name}"):
        server.client.buckets_api().create_bucket(
            bucket_name=name, org=org, retention_rules=rules, description="heat pump monitor"
        )


def keep(server: InfluxServer, name: str, seconds: int) -> None:
    """Let a bucket that is there keep its points for another time. seconds: 0: for ever."""
    rules = [BucketRetentionRules(type="expire", every_seconds=seconds)] if seconds else []
    (found,) = _find(server, name=name)
    with server.speaking(f"change bucket {name}"):
        server.client.buckets_api().update_bucket(
            Bucket(id=found.id, org_id=found.org_id, name=name, retention_rules=rules)
        )


def may_make(server: InfluxServer) -> bool:
    """Tell whether the token may make buckets, by asking for one that InfluxDB always refuses: it is too short.

    Raises RetryableStoreError, where it does not answer.
    """
    try:
        make(server, "heatpump-doctor", 1)
    except Refused as error:
        return error.status >= 500  # who may not make any is told so first (401)
    return True


def organisation(server: InfluxServer) -> str | None:
    """Find the organisation's id, None where the token may see neither it nor a bucket of it."""
    org = server.address.org
    with server.speaking("show its organisations"):
        orgs = server.client.organizations_api().find_organizations(org=org)
    ids = [found.id for found in orgs or ()] or [bucket.org_id for bucket in _find(server, limit=100)]
    return ids[0] if ids else None


def _find(server: InfluxServer, **asked: Any) -> list[Bucket]:
    try:
        with server.speaking("list buckets"):
            found = server.client.buckets_api().find_buckets(org=server.address.org, **asked)
    except Refused as error:
        if error.status == 404 and "organization" not in str(error):
            return []
        raise
    if not isinstance(found, Buckets) or found.buckets is None:
        raise server.no_influxdb("a question for buckets with something else")
    return list(found.buckets)


def another_retention(name: str, there: int, wanted: int) -> str:
    """Say that a bucket keeps its points for another time than it should. [s]"""
    return f"bucket {name} keeps its points for {spoken(there)}, the settings say {spoken(wanted)}"


def spoken(seconds: int) -> str:
    """Say a retention. [s]"""
    if not seconds:
        return "ever"
    return f"{seconds // 86_400} d" if seconds % 86_400 == 0 else f"{seconds} s"
