"""Does an image reproduce a listed work? Perceptual hashes, the reference index, and the check."""
