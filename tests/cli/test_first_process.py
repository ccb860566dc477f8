"""The command as the first process of a container, where the kernel ignores a signal that has no handler."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace of one's own needs root"),
]


def test_a_command_that_has_not_begun_ends_at_once_when_it_is_told_to(tmp_path):
    graph = tmp_path / "graph.toml"
    os.mkfifo(graph)
    heatpump = [sys.executable, "-c", "from flows.cli.quick import main; main()", "graph"]
    started = subprocess.Popen(
        ["unshare", "--pid", "--fork", *heatpump], env={**os.environ, "HEATPUMP_GRAPH": str(graph)}
    )
    with open(graph, "w"):  # opened once it is read: it now waits for text that does not come
        (first,) = psutil.Process(started.pid).children()
        first.send_signal(signal.SIGTERM)
        assert started.wait(60) == 128 + signal.SIGTERM
