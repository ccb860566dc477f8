"""A real InfluxDB, where the environment names one: buckets and tokens of a test's own."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import msgspec
import pytest
from influxdb_client import Authorization, Permission, PermissionResource

from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS
from flows.store.influx import buckets
from flows.store.influx.server import InfluxServer

URL, TOKEN = "HEATPUMP_TEST_INFLUXDB_URL", "HEATPUMP_TEST_INFLUXDB_TOKEN"


@contextmanager
def installation(raw_ms: int | None = 30 * DAY_MS, minute_ms: int | None = 90 * DAY_MS) -> Iterator[InfluxAddress]:
    """Where an installation may be made whose buckets nobody else has; they are gone afterwards."""
    if not os.environ.get(URL):
        pytest.skip(f"{URL} names no InfluxDB")
    bucket = f"test-{uuid4().hex}"
    address = InfluxAddress(os.environ[URL], os.environ.get(TOKEN, ""), "heatpump", bucket, raw_ms, minute_ms)
    try:
        yield address
    finally:
        with closing(InfluxServer(address)) as server:
            for name in address.retentions:
                if found := server.client.buckets_api().find_bucket_by_name(name):
                    server.client.buckets_api().delete_bucket(found)


@contextmanager
def token(address: InfluxAddress, **rights: list[str]) -> Iterator[InfluxAddress]:
    """The same installation with a token of less rights. rights: bucket names by action; []: all buckets."""
    with closing(InfluxServer(address)) as server:
        org = buckets.organisation(server)
        ids = {bucket.name: bucket.id for bucket in server.client.buckets_api().find_buckets_iter(org=address.org)}
        permissions = [
            Permission(action=action, resource=PermissionResource(type="buckets", id=id_, org_id=org))
            for action, names in rights.items()
            for id_ in ([ids[name] for name in names] or [None])
        ]
        api = server.client.authorizations_api()
        made: Authorization = api.create_authorization(org_id=org, permissions=permissions)
        try:
            yield msgspec.structs.replace(address, token=made.token)
        finally:
            api.delete_authorization(made)
