"""Image generation: requests, the model catalogue, and engines that draw."""
