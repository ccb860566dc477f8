"""Backups: made while all runs, put back into an empty installation, tried out in a scratch one."""
