"""The tokens that are made for an installation, on a real InfluxDB 2 where HEATPUMP_TEST_INFLUXD names its binary."""

import os
from collections.abc import Iterator

import httpx
import pytest

from flows.errors import ConfigError, RetryableStoreError
from flows.model.influx_address import InfluxAddress
from flows.store.influx import founding
from flows.store.influx.buckets import existing, wanted
from flows.store.influx.server import InfluxServer
from tests.influxd import BINARY, ORG, TOKEN, Influxd

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get(BINARY), reason=f"{BINARY} names no influxd"),
]


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    server = Influxd(tmp_path_factory.mktemp("influxd"))
    server.start()
    yield server
    server.stop()


def by(influxd: Influxd, token: str = TOKEN) -> InfluxServer:
    return InfluxServer(InfluxAddress(influxd.url, token, ORG))


@pytest.fixture
def operator(influxd: Influxd) -> Iterator[InfluxServer]:
    server = by(influxd)
    yield server
    server.close()


def may(influxd: Influxd, token: str, path: str) -> int:
    headers = {"Authorization": f"Token {token}"}
    return len(httpx.get(f"{influxd.url}/api/v2/{path}", headers=headers, trust_env=False).json().get(path, []))


def test_a_server_that_is_set_up_is_left_as_it_is(operator: InfluxServer):
    assert not founding.set_up(operator, "admin", "another password")


def test_our_token_reads_and_writes_our_buckets_and_sees_nothing_else(influxd: Influxd, operator: InfluxServer):
    token = founding.new_token(operator)
    ours = by(influxd, token)
    assert existing(ours).keys() == wanted(ours.address).keys()
    ours.write("sensor_data", b"sensor_reading,device_id=a temp_inlet=1.0 1770000000000")
    with pytest.raises(RetryableStoreError):
        ours.write("unused", b"sensor_reading,device_id=a temp_inlet=1.0 1770000000000")
    assert may(influxd, token, "buckets") == 5 < may(influxd, TOKEN, "buckets")
    assert may(influxd, token, "users") == 0
    ours.close()


def test_after_a_rotation_the_newest_token_alone_is_left(influxd: Influxd, operator: InfluxServer):
    old, new = founding.new_token(operator), founding.new_token(operator)
    assert founding.revoke_all_but_newest(operator) >= 1
    assert may(influxd, new, "buckets") == 5 and may(influxd, old, "buckets") == 0


def test_the_operators_token_can_be_replaced_but_not_by_itself_revoked(influxd: Influxd, operator: InfluxServer):
    new = founding.like_operators(operator)
    assert may(influxd, new, "authorizations") == may(influxd, TOKEN, "authorizations")
    second = founding.like_operators(operator)
    founding.revoke(operator, second)
    assert may(influxd, second, "buckets") == 0
    with pytest.raises(ConfigError, match="is INFLUXDB_TOKEN itself"):
        founding.revoke(operator, TOKEN)


def test_the_password_of_its_own_pages_is_changed(influxd: Influxd, operator: InfluxServer):
    founding.set_password(operator, "admin", "a password of ours")
    signin = httpx.post(f"{influxd.url}/api/v2/signin", auth=("admin", "a password of ours"), trust_env=False)
    assert signin.status_code == 204
    with pytest.raises(ConfigError, match="is no user of this InfluxDB"):
        founding.set_password(operator, "nobody", "a password of ours")
