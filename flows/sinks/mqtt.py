"""A publisher to the broker in a thread of its own; what cannot be sent now is not sent."""

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.mqtt import enter, leave, login_of
from flows.settings import Settings

MOST_QUEUED = 1_000


class MqttPublisher:
    """Connects in the background and reconnects by itself."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.max_queued_messages_set(MOST_QUEUED)
        enter(self._client, login_of(settings))
        self._client.reconnect_delay_set(1, 30)
        self._client.connect_async(settings.mqtt_host, settings.mqtt_port, keepalive=30)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Send if connected."""
        if not self._client.is_connected():
            return False
        return self._client.publish(topic, payload, qos).rc == mqtt.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """Disconnect."""
        leave(self._client)
