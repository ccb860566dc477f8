"""Real brokers for tests: Mosquitto and rumqttd, on a free loopback port, killable, keeping their port."""

import getpass
from pathlib import Path

from flows.proof.brokers import Broker, Rumqttd, free_port

__all__ = ["Mosquitto", "Rumqttd", "free_port"]


class Mosquitto(Broker):
    """Mosquitto that saves every change at once, so that kill -9 keeps sessions and queues."""

    name = "mosquitto"
    max_inflight_messages = 1000
    autosave = "autosave_on_changes true\nautosave_interval 1"

    def __init__(self, folder: Path, allow_anonymous: bool = True) -> None:
        super().__init__(folder)
        self._allow_anonymous = allow_anonymous

    @property
    def config(self) -> str:
        """What mosquitto.conf says."""
        return (
            f"listener {self.port} {self.host}\n"
            f"user {getpass.getuser()}\n"
            f"allow_anonymous {str(self._allow_anonymous).lower()}\n"
            "persistence true\n"
            f"persistence_location {self.folder}/\n"
            f"{self.autosave}\n"
            "max_queued_messages 1000000\n"
            f"max_inflight_messages {self.max_inflight_messages}\n"
            "log_type error\nlog_type warning\n"
        )

    def _command(self) -> list[str]:
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config)
        return ["/usr/sbin/mosquitto", "-c", str(file)]
