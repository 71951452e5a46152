"""Tare measured by itself: known effects, noise, build stages, scenarios played out."""
