"""The demo: a recorded heat pump and three simulated ones, with history, then living on."""
