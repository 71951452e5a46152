"""One run: its plan, its blocks, its workers, and what is known so far."""
