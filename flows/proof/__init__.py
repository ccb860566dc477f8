"""A private site that is killed while it works, and the books that tell whether it lost anything."""
