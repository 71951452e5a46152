"""Base images: from an upstream registry by digest, or made from distribution packages."""
