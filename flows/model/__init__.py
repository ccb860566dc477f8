"""What values mean: quantities, readings, rows. No I/O, nothing of ours."""
