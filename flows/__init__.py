"""The pipeline: MQTT to journal to node graph to store. docs/explanation/architecture.md draws it."""
