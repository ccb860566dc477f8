"""The analytics pages: views on what the API answers."""
