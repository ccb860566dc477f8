"""The pipeline: MQTT to journal to node graph to store. docs/explanation/delivery.md tells how."""
