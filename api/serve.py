"""serve: the API as a process."""

import errno
import gc
import logging
import signal
import socket
from pathlib import Path

import uvicorn

from api.app import create_app
from flows import notify
from flows.errors import ConfigError
from flows.settings import Settings
from flows.store import open_reader

log = logging.getLogger("heatpump.api")

STOP_S = 2
"""How long open requests may take after SIGTERM. [s]"""

STALLED_MS = 30_000
"""How long a client may take none of what was sent to it before the kernel ends its connection. [ms]"""

LONGEST_MESSAGE = 65_536


def main(settings: Settings, store_path: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises ConfigError.

    store_path : serve this store by itself, without broker and flow.
    """
    if store_path is not None and not store_path.is_file():
        raise ConfigError("--store", str(store_path), "is no store; `heatpump replay FILE --into PATH` makes one")
    if store_path is not None:
        settings = settings.model_copy(update={"influxdb_url": ""})  # the store is a file then, whatever is set
    reader = open_reader(store_path or settings.store)
    server = uvicorn.Server(config(create_app(settings, reader, live=store_path is None)))
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops by them and then raises them again, which would look like a crash.
        signal.signal(number, lambda *_: None)
    # To look through the 100 000 objects loaded by now takes 40 ms, and an answer of many rows would set that off.
    gc.freeze()
    try:
        with listening(settings.api_host, settings.api_port) as sock:
            notify.ready()
            log.info("the API answers at http://%s:%s", settings.api_host, settings.api_port)
            server.run(sockets=[sock])
    finally:
        reader.close()
    return 0 if server.started else 1


def config(app: object) -> uvicorn.Config:
    """Configure uvicorn: quiet, quick to stop, no limit left to chance."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",
        ws="websockets-sansio",
        ws_max_size=LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )


def listening(host: str, port: int) -> socket.socket:
    """Open the port. Raises ConfigError that says how to choose another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: only then does asyncio send small answers at once (TCP_NODELAY), not 40 ms later.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            allowed = f"is no address of this machine ({error.strerror}); 127.0.0.1 is, 0.0.0.0 stands for all"
            raise ConfigError("HEATPUMP_API_HOST", host, allowed) from None
        raise ConfigError(
            "HEATPUMP_API_PORT", port, f"cannot be used on {host} ({error.strerror}); choose another by --api-port"
        ) from None
    return sock
