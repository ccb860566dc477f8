"""The embedded broker: rumqttd, which PyPI's iotcore carries. `python -m flows.broker CONFIG` runs it.

It keeps sessions, queues and retained messages in memory. A queue is a log of the newest QUEUE_BYTES of a filter,
read or not: beyond that the oldest are dropped silently. Measured with 600 bytes a message, for a session that was
away: 100 000 all arrive, in order; of 480 000 the newest 426 000 do, and it takes 384 MB of memory.
It demands a keep alive, and on a wrong password closes the connection without a word.
"""

import json
import logging
import sys

from flows.child import die_with_parent

SEGMENT_BYTES = 8 << 20
QUEUE_BYTES = 256 << 20
OTHER_QUEUE_BYTES = 16 << 20
MOST_PAYLOAD = 4 << 20
MOST_CONNECTIONS = 12_000


def rumqttd_config(host: str, port: int, ws_port: int | None = None, user: str = "", password: str = "") -> str:
    """Write rumqttd's configuration (TOML).

    host          : address to listen on.
    port, ws_port : of MQTT 3.1.1 over TCP and over WebSocket; None: no WebSocket.
    password      : what clients must send with `user`; empty: nothing is asked.
    """
    listeners = [_listener("v4", host, port, user, password)]
    if ws_port is not None:
        listeners.append(_listener("ws", host, ws_port, user, password))
    return f"""id = 0

[router]
id = 0
max_connections = {MOST_CONNECTIONS}
max_outgoing_packet_count = 200
max_segment_size = {SEGMENT_BYTES}
max_segment_count = {OTHER_QUEUE_BYTES // SEGMENT_BYTES}

[router.custom_segment.'heatpump/#']
max_segment_size = {SEGMENT_BYTES}
max_segment_count = {QUEUE_BYTES // SEGMENT_BYTES}
""" + "".join(listeners)


def _listener(kind: str, host: str, port: int, user: str, password: str) -> str:
    auth = f"auth = {{ {_quoted(user)} = {_quoted(password)} }}\n" if password else ""
    return f"""
[{kind}.1]
name = "{kind}"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[{kind}.1.connections]
connection_timeout_ms = 10000
max_payload_size = {MOST_PAYLOAD}
max_inflight_count = 1000
dynamic_filters = false
{auth}"""


def _quoted(text: str) -> str:
    """Quote for TOML, whose basic strings are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def main() -> None:
    """Run the broker of a configuration file until a signal ends it."""
    from iotcore.iotcore import IotCoreBroker

    die_with_parent()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # rumqttd reports each packet as an error span; only its real failures end the process, and those say so.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


if __name__ == "__main__":
    main()
