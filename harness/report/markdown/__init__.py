"""decision.md: the answer, the body, and their common parts."""
