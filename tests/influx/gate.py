"""A door in front of a server: shut, nobody is there, and who was inside is out; open, what comes is passed on."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def opened(url: str, port: int) -> Iterator[None]:
    """Pass connections to a port of this machine on to the server of a URL, as long as this lasts."""
    where = urlsplit(url)
    assert where.hostname is not None and where.port is not None
    target = (where.hostname, where.port)
    inside: set[socket.socket] = set()

    class Passage(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            inside.add(self.request)
            with socket.create_connection(target) as server:
                back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
                back.start()
                _copy(self.request, server)
                back.join()

    class Door(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads, block_on_close = True, True, False

    with Door(("127.0.0.1", port), Passage) as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            door.shutdown()
            thread.join()
            for each in inside:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until one side ends, then tell the other."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
