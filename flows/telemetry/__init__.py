"""What a running flow tells of itself: counters, the conservation sum, the last hour, looks at what passes."""
