"""By which names and from where the pages may be asked."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from panel_app.account import account_of
from panel_app.gate import Gate, session_of

OPEN, CLOSED = Gate("0.0.0.0"), Gate("127.0.0.1", ["https://heat.example.org"])


class Link:
    """Stands for a connection's other end."""

    def __init__(self, address: str) -> None:
        self.remote_ip, self.protocol = address, "http"


def asked(host: str = "127.0.0.1:5006", remote_ip: str = "127.0.0.1", **headers: str) -> HTTPServerRequest:
    given = HTTPHeaders({"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    connection: Any = type("Connection", (), {"context": Link(remote_ip)})()
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    return HTTPServerRequest(headers=given, connection=connection, start_line=line)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:5006", "localhost:5006", "[::1]:5006", "heat.example.org", "127.8.8.8"]
)
def test_on_loopback_this_machines_names_and_those_of_the_settings_are_ours(host: str):
    assert CLOSED.is_ours(asked(host))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5006", "", "127.0.0.1.evil.example", "localhost.evil"]
)
def test_on_loopback_a_foreign_name_is_not_ours_and_beyond_it_any_is(host: str):
    assert not CLOSED.is_ours(asked(host))
    assert OPEN.is_ours(asked(host))


def test_only_what_comes_straight_from_this_machine_is_local():
    assert CLOSED.is_local(asked())
    assert not CLOSED.is_local(asked(remote_ip="192.0.2.1"))
    assert not CLOSED.is_local(asked("heat.example.org"))
    for header in ("X_Forwarded_For", "X_Forwarded_Proto", "X_Real_IP", "Forwarded", "Via", "X_Forwarded_Host"):
        assert not CLOSED.is_local(asked(**{header: "anything"}))


def test_a_page_of_the_very_host_and_of_the_settings_origins_may_open_a_websocket_and_no_other():
    request = asked("Heat.Lan:8443")
    assert OPEN.may_come_from("https://heat.lan:8443", request)
    assert CLOSED.may_come_from("https://heat.example.org", request)
    for foreign in (
        "https://heat.lan",
        "https://heat.lan:8444",
        "https://heat.example.org:1",
        "null",
        "",
        "https://",
    ):
        assert not OPEN.may_come_from(foreign, request)
    assert not CLOSED.may_come_from("http://heat.example.org", request), "the scheme is part of an origin"


def test_what_is_no_session_is_never_passed_on_as_a_token():
    assert session_of(asked(Cookie="heatpump_session=hps_abc.def")) == "hps_abc.def"
    for cookie in ("heatpump_session=hpm_token", "other=hps_a", "heatpump_session=", "heatpump_session=hps_é"):
        assert session_of(asked(Cookie=cookie)) == ""


def test_an_account_says_what_it_may_and_names_no_more_devices_than_can_be_read():
    some = account_of({"name": "a", "scope": "read", "devices": {"ids": ["site1"], "groups": ["north"]}})
    assert (some.may_command, some.has_all, some.sees) == (False, False, "site1, all of group north")
    many = account_of({"name": "a", "scope": "command", "devices": {"ids": [f"s{i}" for i in range(11)]}})
    assert many.sees.endswith("s7 and 3 more")
    assert account_of({"name": "", "scope": "admin", "devices": "all"}).sees == "all devices"
