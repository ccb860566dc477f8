"""Tells systemd that a service has started (sd_notify): `systemctl start` waits for it, or says that it failed."""

import os
import socket
from contextlib import suppress


def ready() -> None:
    """Say that the configuration was taken and the work begins; nothing where nobody asks."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
