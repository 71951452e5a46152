"""The cost of measured images in use: the pull model, its inputs, the formulas of scenarios and their break-evens."""
