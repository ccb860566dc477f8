"""The embedded store: one SQLite file in WAL mode, one writer, any number of readers."""
