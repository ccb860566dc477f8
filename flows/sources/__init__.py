"""Where the pipeline begins."""
