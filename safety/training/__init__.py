"""The scripts that made the weights of this package; the product does not import them."""
