"""Intervals, rank tests and change points over plain numbers. No input, no output."""
