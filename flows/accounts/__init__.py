"""Accounts at the deployed Mosquitto: one for each device, three of ours, and the one that all may share."""
