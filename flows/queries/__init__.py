"""The only read path."""
