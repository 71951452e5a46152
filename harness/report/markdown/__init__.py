"""decision.md: the answer, the body, and what both have in common."""
