"""Where the pipeline ends."""
