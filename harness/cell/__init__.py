"""One cell, ready to be measured: built, verified, pushed, started, asked and looked into."""
