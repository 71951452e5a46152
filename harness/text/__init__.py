"""How quantities and foreign text are written for people: units, intervals, the lines of a terminal."""
