"""History of other systems, as readings of ours: sources, mappings, and the client that sends them to the flow."""
