# ruff: noqa: T201
"""A stand-in for the program `docker`: records what it is asked, and runs in place what needs no engine.

What it shows: what setup.sh asks, in which order, with which arguments and variables; and what the real openssl and
the real `heatpump` make of it. What it does not: that an engine does what is asked (docs/how-to/vps.md, "Tried").
It runs as `docker`, by STAND_IN: the folder of its state.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HEATPUMP = Path(sys.executable).parent / "heatpump"


def main(argv: list[str]) -> int:
    """Answer as docker would; 0 where there is nothing to say."""
    state = Path(os.environ["STAND_IN"])
    with (state / "asked.jsonl").open("a") as asked:
        bind = os.environ.get("HEATPUMP_BIND_LOCAL")
        asked.write(json.dumps({"argv": argv, "bind": bind}) + "\n")
    match argv:
        case ["version", *_]:
            print("28.2.2")
        case ["compose", "version", *_]:
            print((state / "compose-version").read_text() if (state / "compose-version").exists() else "2.39.1")
        case ["ps", "-a", *_]:
            print((state / "others").read_text() if (state / "others").exists() else "", end="")
        case ["ps", *_]:
            print("123456" if (state / "up").exists() else "", end="")
        case ["volume", "inspect", _]:
            return 0 if (state / "up").exists() else 1
        case ["run", *_]:
            return _in_place(argv)
        case ["compose", "run", "--rm", "--no-deps", "-T", service, *command]:
            return _heatpump(state, service, command)
        case ["compose", "up", *_]:
            (state / "up").touch()
        case ["compose", "exec", "-T", "influxdb", *_]:
            (state / "influx-configs").write_bytes(sys.stdin.buffer.read())
        case ["compose", "exec", "-T", "flow", "heatpump", "healthy", *_]:
            print("flow is ready")
        case ["inspect", *_, name]:
            if not (state / "up").exists():
                return 1
            print("unhealthy" if (state / f"{name}-unhealthy").exists() else "healthy")
        case ["port", name]:
            published = state / f"{name}-ports"
            print(published.read_text() if published.exists() else "", end="")
    return 0


def _in_place(argv: list[str]) -> int:
    """Run the shell of `docker run … --entrypoint /bin/sh IMAGE -euc SCRIPT …` here: data/ has its own path in it."""
    after = argv[argv.index("/bin/sh") + 2 :]
    if os.geteuid():  # only root may give files away
        after[1] = "chown() { :; }\n" + after[1]
    return subprocess.run(["/bin/sh", *after], check=False).returncode


def _heatpump(state: Path, service: str, command: list[str]) -> int:
    """Run our own command in place; InfluxDB is played."""
    if service == "operator":
        given = sys.stdin.read() if command == ["influxdb", "revoke"] else ""
        with (state / "operator.jsonl").open("a") as log:
            log.write(json.dumps({"command": command, "given": given}) + "\n")
        print(f"token-{os.urandom(12).hex()}" if "--revoke" not in command and command[1] == "token" else "done")
        return 0
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HEATPUMP_", "MQTT_"))},
        "HEATPUMP_SECRETS": str(Path.cwd() / "data" / "secrets"),
        "HEATPUMP_ACCESS": str(state / "access" / "access.json"),
        "HEATPUMP_MQTT_ACCOUNTS": str(state / "accounts"),
        "HEATPUMP_DATA": str(state / "nothing"),
    }
    return subprocess.run([HEATPUMP, *command], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
