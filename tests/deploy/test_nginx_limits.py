"""How much one address may ask of nginx. Nothing is behind it: what is not refused is answered 503, and fast."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.nginx_site import Site
from tests.deploy.runner import Machine, needed
from tests.deploy.wire import HTTP, ask
from tests.flows import wait_for

pytestmark = [pytest.mark.slow, needed("nginx")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One of each test's own: nothing is left of what others asked, which who asks on would keep from wearing off."""
    with Machine(tmp_path / "nginx") as machine:
        yield Site(machine)


def many(times: int, path: str, method: str = "GET") -> list[int]:
    """Ask so often at once, however slow this machine is: in one piece, or what nginx left of it again. The statuses."""
    found: list[int] = []
    while len(found) < times:
        found += asked(times - len(found), path, method)
    return found


def asked(times: int, path: str, method: str) -> list[int]:
    """Ask in one piece; the statuses until nginx closed the connection."""
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
    whole = f"{request}\r\n" * (times - 1) + f"{request}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", HTTP), timeout=30) as connection:
        sending = threading.Thread(target=connection.sendall, args=[whole.encode()])
        sending.start()
        told = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        sending.join()
    return [int(status) for status in re.findall(rb"^HTTP/1.1 (\d+) ", told, re.MULTILINE)]


def test_passwords_cannot_be_tried_fast_and_after_a_while_again(site: Site):
    statuses = many(30, "/login", "POST")
    assert statuses[:10] == [503] * 10 and statuses[-10:] == [429] * 10
    answer = ask("/login", method="POST")
    assert (answer.status, answer.header("retry-after")) == (429, "5")
    assert "Too many requests" in answer.text and "nginx" not in answer.text
    assert many(50, "/login") == [503] * 50, "the page itself is shown"
    wait_for(lambda: ask("/login", method="POST").status == 503)


def test_an_api_client_may_ask_hundreds_of_times_at_once_but_not_for_ever(site: Site):
    statuses = many(900, "/api/devices")
    assert statuses[:400] == [503] * 400 and statuses.count(429) > 100
    answer = wait_for(lambda: ask("/api/devices"), lambda answer: answer.status == 503)
    assert "does not answer" in answer.json["detail"]


def test_a_refused_api_client_is_told_in_json(site: Site):
    many(900, "/api/devices")
    answer = ask("/api/devices")
    assert answer.status in (429, 503)
    assert set(answer.json) == {"detail"}


@pytest.mark.parametrize("path", ["/api/devices/site1/series?fields=power&format=csv", "/csv/site1?fields=power"])
def test_files_cannot_be_asked_for_in_masses(site: Site, path: str):
    assert ask(path).status == 503
    statuses = many(40, path)
    assert 429 in statuses[-10:]
    no_file = path.partition("?")[0].replace("/csv/", "/")
    wait_for(lambda: ask(no_file).status == 503)


def test_a_page_with_all_its_scripts_may_be_opened_several_times_a_minute(site: Site):
    assert many(400, "/static/js/bokeh.min.js?v=1") == [503] * 400
    assert 429 in many(900, "/static/js/bokeh.min.js?v=1")
    wait_for(lambda: ask("/").status == 503)
