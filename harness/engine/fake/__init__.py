"""An engine without containers: it builds, pushes and serves in this process, for tests and for trying things."""
