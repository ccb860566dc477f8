"""Lanes: some requests at once, by threads that never hold up the end of the process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

Request = Callable[[], None]


class Lanes:
    """Threads that do what they are handed, in order, one thing each at a time.

    They are daemons: a request that nobody answers ends with the process.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: SimpleQueue[tuple[Request, Future[None]] | None] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"influx-{number}", daemon=True).start()

    def send(self, request: Request) -> Future[None]:
        """Hand a request over; what comes of it is in the future."""
        future: Future[None] = Future()
        self._waiting.put((request, future))
        return future

    def close(self) -> None:
        """Let the threads end when all that was handed over is done."""
        for _ in range(self._count):
            self._waiting.put(None)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            request, future = job
            try:
                request()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)
