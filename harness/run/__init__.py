"""One run: its plan, its blocks, its workers, and its results so far."""
