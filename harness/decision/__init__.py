"""Which strategy to take, how sure that is and what it depends on. No input, no output."""
