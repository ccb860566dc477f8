"""What a device's installer needs: config.h lines, and the same as an address for a QR code."""

import base64
import hashlib
import json
import ssl
from typing import NamedTuple
from urllib.parse import quote, urlencode

UNKNOWN_HOST = "your-server-ip"
TLS_PORT = 8883


class Handout(NamedTuple):
    """How one device reaches the broker, and as whom.

    ca : the CA's certificate (PEM) where the way is TLS, else "".
    """

    device_id: str
    password: str
    host: str
    port: int
    ca: str = ""

    @property
    def config_h(self) -> str:
        """Lines of a C header."""
        lines = [
            ("MQTT_BROKER", _quoted(self.host)),
            ("MQTT_PORT", str(self.port)),
            ("MQTT_USER", _quoted(self.device_id)),
            ("MQTT_PASS", _quoted(self.password)),
            ("DEVICE_ID", _quoted(self.device_id)),
        ]
        return "\n".join(f"#define {name} {value}" for name, value in lines)

    @property
    def address(self) -> str:
        """All of it as a URI: mqtt or mqtts, and by TLS the SHA-256 fingerprint of the CA that was given."""
        scheme = "mqtts" if self.ca or self.port == TLS_PORT else "mqtt"
        query = "?" + urlencode({"ca": f"sha256:{fingerprint(self.ca)}"}, safe=":-_") if self.ca else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{quote(self.device_id)}:{quote(self.password)}@{host}:{self.port}{query}"


def fingerprint(pem: str) -> str:
    """SHA-256 of a certificate, in base64url without padding. Raises ValueError."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _quoted(text: str) -> str:
    """Quote for C; a name or host of ASCII needs what JSON needs."""
    return json.dumps(text)


def split_address(text: str) -> tuple[str, int | None]:
    """Take `host`, `host:port` or `[address]:port` apart. Raises ValueError."""
    host, port = text, ""
    if text.startswith("["):
        host, found, port = text[1:].partition("]")
        if not found or (port and not port.startswith(":")):
            raise ValueError("must be [address]:port")
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not all(char.isalnum() or char in "-._:" for char in host) or (port and not port.isdigit()):
        raise ValueError("must be a host, or host:port")
    if port and not 1 <= int(port) <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return host, int(port) if port else None
