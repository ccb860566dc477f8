"""The durable, ordered log that the store is a function of."""
