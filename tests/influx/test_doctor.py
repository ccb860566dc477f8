"""heatpump doctor on a real InfluxDB: what each thing that is wrong is called, and that nothing is changed."""

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS
from flows.store import open_writer
from flows.store.influx import buckets
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Fence
from tests.brokers import free_port
from tests.cli.heatpump import heatpump
from tests.influx.real import installation, token
from tests.influx.recorded import proxy

pytestmark = pytest.mark.slow


def examined(address: InfluxAddress, data: Path, **settings: Any) -> dict[str, dict[str, str]]:
    """Run doctor; its findings by subject."""
    ports = {f"HEATPUMP_{name}_PORT": free_port() for name in ("API", "PANEL", "MQTT", "MQTT_WS")}
    given = {
        "INFLUXDB_URL": address.url,
        "INFLUXDB_TOKEN": address.token,
        "INFLUXDB_ORG": address.org,
        "INFLUXDB_BUCKET": address.bucket,
    }
    done = heatpump("doctor", "--json", "--data", data, **ports, **given, **settings)
    assert address.token not in done.stdout + done.stderr or not address.token
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    wrong = [subject for subject, finding in findings.items() if finding["state"] == "wrong"]
    assert (done.returncode == 1) == bool(wrong)
    return findings


def wrong(findings: dict[str, dict[str, str]], subject: str) -> str:
    """What is said of a thing that is wrong, with its remedy."""
    assert findings[subject]["state"] == "wrong", findings
    return f"{findings[subject]['found']} / {findings[subject]['remedy']}"


def kept(server: InfluxServer) -> dict[str, int]:
    """Retentions of the installation's buckets. [s]"""
    return {name: s for name, s in buckets.existing(server).items() if name.startswith(server.address.bucket)}


def names(address: InfluxAddress) -> list[str]:
    with closing(InfluxServer(address)) as server:
        return sorted(kept(server))


def test_a_new_installation_is_told_what_the_first_start_makes_and_nothing_is_made(tmp_path):
    with installation() as address:
        found = examined(address, tmp_path)
        assert found["InfluxDB"]["found"].startswith(f"answers at {address.url}, version ")
        made = found["InfluxDB, buckets"]
        assert made["state"] == "ok" and f"{address.bucket}_1m (kept for 90 d)" in made["found"]
        assert "store" not in found and names(address) == []


def test_an_installation_that_is_well_is_said_to_be(tmp_path):
    with installation() as address:
        open_writer(address).close()
        found = examined(address, tmp_path)
    assert found["InfluxDB, buckets"]["found"] == "all there; the token may read and write them"
    assert found["store"] == {
        "subject": "store",
        "found": "0 readings, fed up to frame 0",
        "remedy": "",
        "state": "ok",
    }


def test_a_server_that_is_not_there_is_told_from_one_that_is_no_influxdb(tmp_path):
    nobody = InfluxAddress(f"http://127.0.0.1:{free_port()}", "some-token")
    assert "does not answer: Failed to establish a new connection" in wrong(examined(nobody, tmp_path), "InfluxDB")
    with proxy(200, "<html>") as other:
        assert "is no InfluxDB 2" in wrong(examined(other, tmp_path), "InfluxDB")


def test_without_a_token_it_says_where_one_may_be_given(tmp_path):
    said = wrong(examined(InfluxAddress("http://127.0.0.1:1", ""), tmp_path), "InfluxDB")
    assert "there is no token" in said and "give INFLUXDB_TOKEN" in said


def test_a_token_and_an_organisation_that_are_not_known_are_told_apart(tmp_path):
    with installation() as address:
        said = wrong(examined(msgspec.structs.replace(address, token="not-a-token"), tmp_path), "InfluxDB")
        assert "401 unauthorized access" in said and "INFLUXDB_TOKEN is no token of this server" in said
        said = wrong(examined(msgspec.structs.replace(address, org="nobody"), tmp_path), "InfluxDB")
        assert '404 organization name "nobody" not found' in said and "There is no organisation 'nobody'" in said


def test_a_missing_bucket_is_told_with_whether_the_token_may_make_it(tmp_path):
    with installation() as address:
        open_writer(address).close()
        there = names(address)
        with closing(InfluxServer(address)) as server:
            api = server.client.buckets_api()
            api.delete_bucket(api.find_bucket_by_name(address.meta))
        made = examined(address, tmp_path)["InfluxDB, buckets"]
        assert made["state"] == "ok" and made["found"].endswith(f"{address.meta} (kept for ever)")
        there.remove(address.meta)
        with token(address, read=there, write=there) as less:
            said = wrong(examined(less, tmp_path), "InfluxDB, buckets")
        assert f"not there: {address.meta} (kept for ever); the token may not make them" in said
        assert names(address) == there


def test_a_bucket_that_was_deleted_is_told_from_one_that_was_never_made(tmp_path):
    with installation() as address:
        with closing(open_writer(address)) as writer:
            writer.commit_fence(Fence("journal", 1, 0))
        with closing(InfluxServer(address)) as server:
            api = server.client.buckets_api()
            api.delete_bucket(api.find_bucket_by_name(address.bucket))
        said = wrong(examined(address, tmp_path), "InfluxDB, buckets")
    assert said.startswith(f"deleted, with all that they held; to be made by the next start: {address.bucket} (")
    assert "After that start, `heatpump rebuild`" in said


def test_a_token_that_may_not_write_or_not_read_is_told_of_each_bucket(tmp_path):
    with installation() as address:
        open_writer(address).close()
        there = names(address)
        with token(address, read=there) as reader:
            found = examined(reader, tmp_path)
            assert all("the token may not write it" in wrong(found, f"bucket {name}") for name in there)
        with token(address, read=there[1:], write=there) as blind:
            said = wrong(examined(blind, tmp_path), f"bucket {there[0]}")
            assert "the token may not read it" in said


def test_another_retention_is_told_and_left_as_it_is(tmp_path):
    with installation(raw_ms=14 * DAY_MS, minute_ms=120 * DAY_MS) as address:
        open_writer(address).close()
        with closing(InfluxServer(address)) as server:
            before = kept(server)
            found = examined(address, tmp_path)
            open_writer(msgspec.structs.replace(address, raw_ms=30 * DAY_MS)).close()
            assert kept(server) == before
    said = wrong(found, f"bucket {address.bucket}")
    assert "keeps its points for 14 d, the settings say 30 d" in said and "INFLUXDB_RETENTION" in said
    longer = found[f"bucket {address.rollups('1m')}"]
    assert longer["state"] == "note" and "for 120 d, the settings say 90 d" in longer["found"]


def test_a_clock_that_differs_is_told(tmp_path):
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with proxy(200, "", X_Influxdb_Version="v2.7.0", Date=later) as address:
        said = wrong(examined(address, tmp_path), "InfluxDB, clock")
    assert re.match(r"3[56]\d\d s from this machine's / Let chrony", said)
