"""A store moved into another one of either kind, while the flow goes on."""
