"""What measured images cost in use: the pull model, its inputs, the formulas of scenarios and their break-evens."""
