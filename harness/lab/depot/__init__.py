"""The caching proxy that builds fetch their packages from."""
