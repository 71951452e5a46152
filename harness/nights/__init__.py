"""A history of nights: what changed, whether an alarm is right, and the likely cause."""
