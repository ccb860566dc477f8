"""The recovery state is copied while the flow writes it (flows/recovery_copy.py)."""

from contextlib import suppress
from pathlib import Path

import pytest

from flows import recovery
from flows.recovery_copy import copy_database
from tests.flows import Device, Flow, wait_for

pytestmark = pytest.mark.slow


def test_what_is_saved_after_a_copy_outlives_a_kill(tmp_path, mosquitto):
    flow = Flow(tmp_path / "data", mosquitto.port, epoch_ms=100)
    folder, copies = flow.data / "recovery", flow.data / "recovery-copies"

    def position() -> int:
        saved = recovery.read_saved(folder)
        return saved.position.seq if saved else 0

    flow.start()
    device = Device(mosquitto.port)
    try:
        device.reading()
        copied = wait_for(lambda: max((int(copy.name) for copy in copies.glob("[0-9]*")), default=0))
        device.reading()
        wait_for(flow.readings, lambda count: count == 2)
        newer = wait_for(position, lambda seq: seq > copied + 2)
        lost = [str(file) for file in open_files(flow) if "(deleted)" in file.name]
        assert not lost
    finally:
        device.close()
        flow.kill()
    assert position() >= newer


def open_files(flow: Flow) -> list[Path]:
    assert flow.process is not None
    found = []
    for link in Path(f"/proc/{flow.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(link.readlink())
    return [file for file in found if str(file).startswith(str(flow.data))]


def test_a_copy_that_fails_says_why(tmp_path):
    part = tmp_path / "part.sqlite3"
    part.write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match=r"part\.sqlite3 cannot be copied: .*file is not a database"):
        copy_database(part, tmp_path / "copy.sqlite3")
