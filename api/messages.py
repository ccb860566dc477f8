"""What a WebSocket client is told (docs/reference/api.md), made from what the flow publishes (mqtt.md there)."""

import msgspec

PIPELINE_TOPIC = "heatpump-live/pipeline"


class _Reading(msgspec.Struct):
    time: str
    data: msgspec.Raw


class _Transition(msgspec.Struct):
    time: str
    alert_type: str
    level: str
    value: float | None
    message: str
    id: str
    state: str


class SensorData(msgspec.Struct, tag_field="type", tag="sensor_data"):
    """A fresh reading; data: the payload as the device sent it."""

    device_id: str
    data: msgspec.Raw
    timestamp: str


class Alert(msgspec.Struct, tag_field="type", tag="alert"):
    """A transition of an alert; id names the alert, state the kind of transition."""

    device_id: str
    alert_type: str
    level: str
    value: float | None
    message: str
    timestamp: str
    id: str
    state: str


class Pong(msgspec.Struct, tag_field="type", tag="pong"):
    """The answer to whatever a client sends."""

    timestamp: str


_reading = msgspec.json.Decoder(_Reading)
_transition = msgspec.json.Decoder(_Transition)


def translate(topic: str, payload: bytes) -> str | None:
    """Turn a message of the flow into one for clients; None of other topics. Raises msgspec.MsgspecError."""
    root, _, rest = topic.partition("/")
    device_id, _, kind = rest.partition("/")
    if root != "heatpump-live" or kind not in ("reading", "alert"):
        return None
    if kind == "reading":
        reading = _reading.decode(payload)
        return text_of(SensorData(device_id, reading.data, reading.time))
    change = _transition.decode(payload)
    return text_of(
        Alert(
            device_id,
            change.alert_type,
            change.level,
            change.value,
            change.message,
            change.time,
            change.id,
            change.state,
        )
    )


def device_of(topic: str) -> str:
    """Read which device a topic of the flow's is about; "" of one that is about none."""
    return topic.partition("/")[2].partition("/")[0]


def text_of(message: SensorData | Alert | Pong) -> str:
    """Encode a message."""
    return msgspec.json.encode(message).decode()
