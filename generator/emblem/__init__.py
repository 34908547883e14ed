"""The embedded text-to-image model: pipeline, codec and weights."""
