"""MQTT, ticks and commands into the journal."""
