"""Run ingest until killed: python -m tests.ingest.child DATA PORT [fail|slow].

fail : every fdatasync after the first fails.
slow : between fdatasync and acknowledgement passes some time, so that a kill falls into it.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path

from flows.ingest.subscriber import Ingest
from flows.journal.writer import Journal
from flows.model.frame import Start
from flows.settings import load_settings


def main() -> None:
    logging.basicConfig(level=logging.DEBUG)
    data, port = Path(sys.argv[1]), int(sys.argv[2])
    synced = 0

    def sync(handle: int) -> None:
        nonlocal synced
        synced += 1
        if "fail" in sys.argv and synced > 1:
            raise OSError(5, "Input/output error")
        os.fdatasync(handle)
        if "slow" in sys.argv:
            time.sleep(0.05)

    settings = load_settings(data=data, mqtt_broker="127.0.0.1", mqtt_port=port, min_free_mb=1)
    ingest = Ingest(settings, Journal.open(data / "journal", min_free_bytes=1, sync=sync), Start(0, 0))
    ingest.start()
    signal.pause()


if __name__ == "__main__":
    main()
