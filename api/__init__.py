"""REST and WebSocket: asks flows.queries, answers."""
