"""Image checks that need no reference index."""
