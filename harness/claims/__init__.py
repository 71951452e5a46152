"""Common claims about images, read from a file and tested against stored samples."""
