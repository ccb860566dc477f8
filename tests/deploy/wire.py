"""HTTP as it is on the wire, for tests of nginx: no path is tidied, no redirect followed, no header added."""

import gzip
import http.client
import json
import ssl
from typing import Any, NamedTuple

HTTP, HTTPS = 8080, 8443
HOST = "heat.example"
"""A name by which nginx is asked that is none of this machine's."""


class Answer(NamedTuple):
    """headers: lower-case name and value, as often as they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give the one of this name; fail if it was sent twice."""
        found = [value for each, value in self.headers if each == name]
        assert len(found) <= 1, f"{name} twice: {found}"
        return found[0] if found else None

    @property
    def text(self) -> str:
        """The body, unpacked."""
        return (gzip.decompress(self.body) if self.header("content-encoding") == "gzip" else self.body).decode()

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


def trusting_anyone() -> ssl.SSLContext:
    """Look at no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def for_two_threads(context: ssl.SSLContext) -> ssl.SSLContext:
    """Keep to TLS 1.2, for a client that reads and writes in two threads, as that of websockets does.

    Python before 3.13 guards no TLS connection against that: the tickets of 1.3, read while the request is written,
    now and then break it ("internal error") or hold it up until nginx, which has seen no request, closes.
    """
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def connected(port: int = HTTPS, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """Connect to nginx."""
    if port == HTTP:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context or trusting_anyone())


def ask(path: str, method: str = "GET", port: int = HTTPS, body: bytes = b"", **headers: str) -> Answer:
    """Ask; `X_Y="…"` is the header X-Y."""
    connection = connected(port)
    try:
        given = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body:
            given["Content-Length"] = str(len(body))
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())
    finally:
        connection.close()
