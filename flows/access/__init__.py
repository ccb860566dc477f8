"""Who may do what: accounts with a scope and a set of devices, kept in one file. See docs/reference/access.md."""
