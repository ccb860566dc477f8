"""One node a file; each states what goes in, what comes out and what it remembers."""
