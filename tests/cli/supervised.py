"""Runs a Supervisor over small stand-in processes: `python supervised.py DATA NAME=CODE …`.

A stand-in is ready once it has made the file DATA/NAME.ready. One whose name begins with aside, parked or leaf is that.
"""

import sys
from pathlib import Path

from flows.supervisor import Process, Supervisor


def main() -> int:
    data = Path(sys.argv[1])
    processes = []
    for argument in sys.argv[2:]:
        name, _, code = argument.partition("=")
        ready = data / f"{name}.ready"
        argv = [sys.executable, "-c", f"from flows.child import die_with_parent; die_with_parent()\n{code}"]
        problem = lambda ready=ready: "" if ready.exists() else "is not ready"  # noqa: E731
        aside, parked = name.startswith(("aside", "parked")), name.startswith("parked")
        leaf = name.startswith("leaf")
        processes.append(
            Process(name, argv, {"READY": str(ready)}, problem, leaf=leaf, aside=aside, parked=parked)
        )
    say, all_ready = (lambda line: print(line, flush=True)), (lambda: print("all ready"))  # noqa: T201
    return Supervisor(processes, data, say, all_ready, patience_s=0.5).run()


if __name__ == "__main__":
    sys.exit(main())
