"""This machine: processes that end with us, undo steps, networks, packages, and whether the machine is quiet."""
