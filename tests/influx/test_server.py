"""What InfluxDB's answers mean, held against answers that a real one gave."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import parse_headers

import pytest

import flows.store.influx.server
from flows.errors import NoStoreYet, OutsideRetention, RetryableStoreError, RowRefused, StoreError
from flows.model.influx_address import InfluxAddress
from flows.store.influx.reader import InfluxReader
from flows.store.influx.server import InfluxServer, Refused, RetryAfter
from tests.brokers import free_port
from tests.influx.recorded import proxy, recorded

LINE = b"sensor_reading,device_id=site1 temp_inlet=45.1 1795465670000"


def write(name: str) -> None:
    """Send the lines of a recorded write to the bucket it went to."""
    with recorded(name) as (address, request), closing(InfluxServer(address)) as server:
        bucket = request["path"].partition("bucket=")[2].partition("&")[0]
        server.write(bucket, (request.get("body_described") or request["body"]).encode())


def ask(name: str) -> list:
    """Ask a recorded question."""
    with recorded(name) as (address, request), closing(InfluxServer(address)) as server:
        return list(server.ask(request["body"]))


def test_a_write_that_was_answered_is_stored():
    write("write_ok")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("write_unauthorized_wrong_token", "401 unauthorized access; see INFLUXDB_TOKEN"),
        ("write_with_read_only_token", "403 insufficient permissions for write; see INFLUXDB_TOKEN"),
        ("write_org_not_found", '404 organization name "nope" not found'),
        ("write_bucket_not_found", '404 bucket "nope" not found'),
        ("cache_full_write_0", "cache-max-memory-size exceeded: (67200/40000)"),
        ("write_timeout_1ms", "500 unexpected error writing points to database: timeout"),
        ("diskfull_write_1", "no space left on device"),
        ("diskfull_write_new_series", "not attempting to open shard 2"),
        ("diskfull_after_space_returns_1", "not attempting to open shard 2"),
    ],
)
def test_what_may_be_mended_is_waited_for_with_influxdbs_own_words(name, words):
    with pytest.raises(Refused) as caught:
        write(name)
    assert words in str(caught.value)
    assert "TOKEN" not in str(caught.value).replace("INFLUXDB_TOKEN", "")


@pytest.mark.parametrize(
    "name", ["diskfull_write_1", "diskfull_write_new_series", "diskfull_after_space_returns_1"]
)
def test_a_full_disk_says_that_influxdb_must_be_restarted(name):
    with pytest.raises(Refused, match="make room on its disk, then restart InfluxDB"):
        write(name)


def test_a_line_that_is_none_is_refused_for_good_and_named():
    with pytest.raises(RowRefused, match=r"unable to parse .*device_id=bad1 temp_inlet= .*missing field value"):
        write("write_one_malformed_among_three_good")


def test_a_type_conflict_is_refused_for_good_and_named():
    with pytest.raises(RowRefused, match='partial write: field type conflict: input field "temp_inlet"') as caught:
        write("write_type_conflict_string_among_good")
    assert not isinstance(caught.value, OutsideRetention)


@pytest.mark.parametrize("name", ["write_older_than_retention_only", "write_older_than_retention_among_good"])
def test_lines_older_than_the_bucket_keeps_are_told_apart(name):
    with pytest.raises(OutsideRetention, match="dropped 1 points outside retention policy of duration 720h0m0s"):
        write(name)


def test_an_empty_answer_has_no_blocks():
    assert ask("query_empty_result") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("query_wrong_token", "401 unauthorized access"),
        ("query_org_not_found", 'organization name "nope" not found'),
        ("query_bucket_not_found", 'could not find bucket "nope"'),
        ("query_queue_full_2", "queue length exceeded"),
        ("query_long_during_shutdown", "does not answer: Remote end closed connection without response"),
    ],
)
def test_a_question_that_may_be_answered_later_is_waited_for(name, words):
    with pytest.raises(RetryableStoreError) as caught:
        ask(name)
    assert words in str(caught.value)


def test_a_question_that_is_none_is_our_fault_and_waits_for_nothing():
    with pytest.raises(StoreError, match="compilation failed") as caught:
        ask("query_bad_flux_syntax")
    assert not isinstance(caught.value, RetryableStoreError)


def test_a_proxy_that_asks_to_wait_is_heard():
    with proxy(503, "busy", Retry_After="7") as address, closing(InfluxServer(address)) as server:
        with pytest.raises(RetryAfter, match="503 busy") as caught:
            server.write("sensor_data", LINE)
    assert (caught.value.seconds, caught.value.status) == (7.0, 503)


def test_a_proxy_that_says_until_which_date_to_wait_is_waited_for_as_everything_else():
    date = "Sat, 28 Nov 2026 21:40:17 GMT"
    with proxy(503, "busy", Retry_After=date) as address, closing(InfluxServer(address)) as server:
        with pytest.raises(Refused) as caught:
            server.write("sensor_data", LINE)
    assert not isinstance(caught.value, RetryAfter)


def test_a_body_that_is_too_large_is_split_as_one_with_a_culprit():
    with proxy(413, "<html>Request Entity Too Large</html>") as address, closing(InfluxServer(address)) as server:
        with pytest.raises(RowRefused, match="413"):
            server.write("sensor_data", LINE)


def test_what_is_no_influxdb_stores_nothing_and_knows_nothing():
    with proxy(200, "<html>", Content_Type="text/html") as address, closing(InfluxServer(address)) as server:
        for speak in (
            lambda: server.write("sensor_data", LINE),
            lambda: list(server.ask("buckets()")),
            server.hello,
        ):
            with pytest.raises(RetryableStoreError, match="is no InfluxDB 2: it answered"):
                speak()


def test_a_write_that_is_moved_elsewhere_is_not_followed():
    elsewhere = "http://127.0.0.1:1/api/v2/write"
    with proxy(301, "", Location=elsewhere) as address, closing(InfluxServer(address)) as server:
        with pytest.raises(Refused, match="301"):
            server.write("sensor_data", LINE)


def test_nobody_there_and_nobody_who_answers_are_waited_for(monkeypatch):
    nobody = InfluxAddress(f"http://127.0.0.1:{free_port()}", "TOKEN")
    with closing(InfluxServer(nobody)) as server:
        for speak in (lambda: server.write("b", LINE), lambda: list(server.ask("buckets()")), server.hello):
            with pytest.raises(RetryableStoreError, match=r"does not answer: .*Connection refused"):
                speak()
    monkeypatch.setattr(flows.store.influx.server, "WRITE_TIMEOUT_MS", 100)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = InfluxAddress(f"http://127.0.0.1:{silent.getsockname()[1]}", "TOKEN")
        with closing(InfluxServer(address)) as server, pytest.raises(RetryableStoreError, match="Read timed out"):
            server.write("b", LINE)


@pytest.mark.slow
def test_a_server_that_holds_its_answer_back_is_not_waited_for_to_tell_whether_it_is_well():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = InfluxAddress(f"http://127.0.0.1:{silent.getsockname()[1]}", "TOKEN")
        with (
            closing(InfluxReader(address)) as reader,
            pytest.raises(RetryableStoreError, match=r"Read timed out$"),
        ):
            asked = time.monotonic()
            reader.ping()
        assert time.monotonic() - asked < 10.0  # a question is waited for longer


def test_a_bucket_that_is_not_there_is_no_store_yet():
    with pytest.raises(NoStoreYet, match="the next start of the flow makes it, or INFLUXDB_TOKEN may not read it"):
        ask("query_bucket_not_found")


@contextmanager
def breaking_off(answer: bytes) -> Iterator[InfluxAddress]:
    """Answer one request with these bytes, then end the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as request:
                # All of it: a connection closed before something unread is reset, and the answer with it.
                length = int(parse_headers(request)["Content-Length"]) if request.readline() else 0
                request.read(length)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield InfluxAddress(f"http://127.0.0.1:{listener.getsockname()[1]}", "TOKEN")
        thread.join()


def test_an_answer_that_breaks_off_is_no_answer():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"
    rows = b",result,table,_value\r\n,_result,0,1\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(rows), rows)
    for answer in (
        head + b"Content-Length: 99\r\n\r\n" + rows,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk,
    ):
        with breaking_off(answer) as address, closing(InfluxServer(address)) as server:
            with pytest.raises(RetryableStoreError, match=r"does not answer: .*read"):
                list(server.ask("buckets()"))


def test_an_answer_that_ends_in_an_error_is_no_answer():
    table = b",result,table,_value\r\n,_result,0,1\r\n\r\nerror,reference\r\nengine: context canceled,\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n%s" % (len(table), table)
    with breaking_off(answer) as address, closing(InfluxServer(address)) as server:
        with pytest.raises(RetryableStoreError, match="broke its answer off: engine: context canceled"):
            list(server.ask("buckets()"))
