"""The heatpump command: one command a file."""
