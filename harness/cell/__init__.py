"""One cell, made ready for measuring: built, verified, pushed, started, asked and examined."""
