"""Pieces of the pipeline page."""
