"""What an image is made of: Dockerfiles and contexts that go in, archives, layers and files that come out."""
