"""The server store: InfluxDB 2, written by the flow, read by anyone with a token."""
