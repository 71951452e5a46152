"""Tare: what a container image strategy really costs."""
