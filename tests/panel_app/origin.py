"""One origin for pages and API as it is deployed: the real nginx, with deploy/nginx and a certificate of its own."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx

from tests.brokers import free_port
from tests.flows import wait_for
from tests.panel_app.site import Installation

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx"
PASSWORD = "correct horse battery staple"


class Origin:
    """nginx before an installation; `url` is what visitors know."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        self.folder, self.installation = folder, installation
        self._http, self._https = free_port(), free_port()
        self.url = f"https://localhost:{self._https}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        shutil.copytree(CONFIGURATION, self.folder, dirs_exist_ok=True)
        api, pages = (address.partition("//")[2] for address in (self.installation.api_url, self.installation.url))
        certificate, key = self.folder / "server.crt", self.folder / "server.key"
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
        ]
        ends = [
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        subprocess.run([*made, *ends], check=True, capture_output=True)
        written = {
            "upstreams": f"upstream backend {{ server {api}; }} upstream panel {{ server {pages}; }}",
            "tls": f"ssl_certificate {certificate}; ssl_certificate_key {key}; map $https $strict_transport {{ default ''; }}",
            "listen_http": f"listen 127.0.0.1:{self._http};",
            "listen_http_any": f"listen 127.0.0.1:{self._http} default_server;",
            "listen_https": f"listen 127.0.0.1:{self._https} ssl;",
        }
        for name, text in written.items():
            (self.folder / f"{name}.conf").write_text(f"{text}\n")
        with (self.folder / "log").open("w") as log:
            self._nginx = subprocess.Popen(
                ["nginx", "-e", "stderr", "-p", f"{self.folder}/", "-c", f"{self.folder}/nginx.conf"],
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self.ask("/healthz", "-o", "/dev/null", "-w", "%{http_code}") == "200")

    def ask(self, path: str, *more: str) -> str:
        """Ask as a program would, without a session; curl's output."""
        asked = ["curl", "-s", "-k", "--noproxy", "*", *more, self.url + path]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def add_user(self, name: str, *rights: str) -> None:
        """Make somebody who may log in, with PASSWORD."""
        self.installation.heatpump("user", "add", name, *rights, "--password-stdin", said=f"{PASSWORD}\n")

    def trust(self) -> ssl.SSLContext:
        """Trust its certificate, and no other."""
        return ssl.create_default_context(cafile=self.folder / "server.crt")

    def session_of(self, name: str) -> str:
        """Log in as a browser's form does; the session."""
        form = {"name": name, "password": PASSWORD, "next": "/"}
        with httpx.Client(verify=self.trust(), trust_env=False, timeout=60) as client:
            answer = client.post(f"{self.url}/login", data=form, headers={"Origin": self.url})
        assert answer.status_code == 303, answer.text
        return str(answer.cookies["heatpump_session"])

    def stop(self) -> None:
        """Stop it."""
        self._nginx.terminate()
        self._nginx.wait(20)
