"""Pieces of pages: pure functions from what the API answers to HTML, one a file, each with its template."""
