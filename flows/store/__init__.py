"""The stores and their protocol."""
