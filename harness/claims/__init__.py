"""What is said about images, read from a file and held against stored samples."""
