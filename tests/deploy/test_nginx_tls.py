"""The TLS of nginx: versions, and certificates that change."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.compose_stack import Stack
from tests.deploy.nginx_site import Site
from tests.deploy.runner import Machine, needed
from tests.deploy.wire import HTTP, HTTPS, ask, connected, trusting_anyone
from tests.flows import wait_for

pytestmark = [pytest.mark.slow, needed("nginx")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Machine(tmp_path_factory.mktemp("nginx")) as machine:
        yield Site(machine)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_1_2_or_newer_without_tickets(site: Site, version: ssl.TLSVersion):
    context = trusting_anyone()
    context.minimum_version = context.maximum_version = version
    connection = connected(HTTPS, context)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    assert connection.sock.version() == version.name.replace("_", ".")
    # The key of a ticket would be the same for as long as nginx runs: whoever gets it reads what was recorded.
    assert version == ssl.TLSVersion.TLSv1_3 or not connection.sock.session.has_ticket
    connection.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_tls_and_weak_ciphers_are_refused(site: Site):
    old = trusting_anyone()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    weak = trusting_anyone()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    for context in (old, weak):
        with pytest.raises(ssl.SSLError):
            connected(HTTPS, context).connect()


def test_a_certificate_that_is_not_ours_brings_hsts_and_a_new_one_is_taken_over(site: Site):
    assert ask("/healthz").header("strict-transport-security") is None
    before = ssl.get_server_certificate(("127.0.0.1", HTTPS))
    site.certify("second")
    (site.tls / "ca.crt").unlink()
    wait_for(lambda: ssl.get_server_certificate(("127.0.0.1", HTTPS)) != before)
    wait_for(lambda: ask("/healthz").header("strict-transport-security") == "max-age=31536000")
    assert ask("/", port=HTTP, Host="localhost").header("strict-transport-security") is None


def test_half_a_certificate_leaves_the_one_before_in_use(site: Site):
    whole = (site.tls / "server.crt").read_bytes()
    before = ssl.get_server_certificate(("127.0.0.1", HTTPS))
    (site.tls / "server.crt").write_bytes(whole[: len(whole) // 2])
    wait_for(lambda: "[emerg]" in site.nginx.said)
    assert ask("/healthz").status == 200
    (site.tls / "server.crt").write_bytes(whole)
    assert ssl.get_server_certificate(("127.0.0.1", HTTPS)) == before


def test_without_a_certificate_it_says_who_makes_one(tmp_path: Path):
    with Machine(tmp_path / "machine") as machine:
        stack = Stack(machine)
        (stack.project / "data/tls/nginx").mkdir(parents=True)
        nginx = machine.start(stack.container("dashboard"))
        assert nginx.wait(60) == 1
        assert "/etc/nginx/tls/server.crt cannot be read by user 101; setup.sh makes" in nginx.said
