"""behind: a thread that does what it is handed, in order, while who hands it over goes on.

A store on another machine is waited for most of the time: meanwhile the nodes make the next batch.
"""

import threading
import time
from collections.abc import Callable
from queue import Full, Queue

from flows.errors import StoreError

STOPPING_S = 3.0
"""How long what is under way may take once the process is asked to stop. [s]"""

Job = Callable[[], None]


class Behind:
    """One job at work and some waiting; after one that failed none is done.

    stopping : tells whether the process is asked to stop.
    waiting  : how many may wait.
    """

    def __init__(self, stopping: Callable[[], bool], waiting: int = 1) -> None:
        self._stopping = stopping
        self._jobs: Queue[Job | None] = Queue(maxsize=waiting)
        self._failed: BaseException | None = None
        # A daemon: a request that nobody answers does not hold up the end of the process.
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def do(self, job: Job) -> None:
        """Hand a job over; wait while as many as may wait do. Raises what an earlier one raised."""
        self._until(lambda: self._handed(job))

    def drain(self) -> None:
        """Wait until all is done. Raises what a job raised."""
        done = threading.Event()
        self.do(done.set)
        self._until(lambda: done.wait(0.05))

    def close(self) -> None:
        """End the thread: what waits is left undone, what is at work has STOPPING_S."""
        if self._failed is None:
            self._failed = StoreError("closed")
        self._handed(None, STOPPING_S)
        self._thread.join(STOPPING_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._failed is None:
                try:
                    job()
                except BaseException as error:
                    self._failed = error

    def _handed(self, job: Job | None, seconds: float = 0.05) -> bool:
        try:
            self._jobs.put(job, timeout=seconds)
        except Full:
            return False
        return True

    def _until(self, done: Callable[[], bool]) -> None:
        """Wait. Raises what a job raised, or StoreError when asked to stop and it takes too long."""
        since: float | None = None
        while not done():
            if self._failed is not None:
                break
            if self._stopping():
                since = since or time.monotonic()
                if time.monotonic() - since > STOPPING_S:
                    raise StoreError(
                        "stopped while the store took its time; the journal keeps what was not stored"
                    )
        if self._failed is not None:
            raise self._failed
