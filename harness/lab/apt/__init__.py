"""The host's own package sources, a private apt root, and the security updates that the sources offer."""
