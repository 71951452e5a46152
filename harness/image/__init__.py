"""What an image is made of: Dockerfiles and contexts as input, archives, layers and files as output."""
