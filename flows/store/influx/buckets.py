"""The buckets of an installation: made and checked at start, as often as you like; never changed by us."""

import logging

from influxdb_client import BucketRetentionRules

from flows.errors import RetryableStoreError
from flows.store.influx.server import InfluxServer

log = logging.getLogger("heatpump.store")


def prepare(server: InfluxServer) -> None:
    """Make the buckets that are missing. A bucket with another retention than ours is told, and left as it is.

    Raises RetryableStoreError: the server is away, or refuses the token or organisation.
    """
    there = existing(server)
    for name, kept_ms in server.address.retentions.items():
        seconds = 0 if kept_ms is None else kept_ms // 1000
        if name not in there:
            make(server, name, seconds)
        elif there[name] != seconds:
            log.warning(
                "bucket %s keeps its points for %s, the settings say %s: change one of them",
                name,
                spoken(there[name]),
                spoken(seconds),
            )


def existing(server: InfluxServer) -> dict[str, int]:
    """Read the buckets that the token may see, with their retentions, 0: for ever. [s]"""
    with server.speaking("list buckets"):
        found = server.client.buckets_api().find_buckets_iter(org=server.address.org)
        return {bucket.name: next((rule.every_seconds for rule in bucket.retention_rules), 0) for bucket in found}


def make(server: InfluxServer, name: str, seconds: int) -> None:
    """Make a bucket. seconds: its retention, 0: for ever."""
    address = server.address
    rules = [BucketRetentionRules(type="expire", every_seconds=seconds)] if seconds else []
    with server.speaking(f"make bucket {name}"):
        orgs = server.client.organizations_api().find_organizations(org=address.org)
        if not orgs:
            raise RetryableStoreError(f"InfluxDB at {address.url} has no organisation {address.org!r}")
        server.client.buckets_api().create_bucket(
            bucket_name=name, org_id=orgs[0].id, retention_rules=rules, description="heat pump monitor"
        )


def spoken(seconds: int) -> str:
    """Say a retention. [s]"""
    if not seconds:
        return "ever"
    return f"{seconds // 86_400} d" if seconds % 86_400 == 0 else f"{seconds} s"
