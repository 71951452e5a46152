"""Names of images: which names are ours, and what a name without a tag means."""

from __future__ import annotations

from docker.utils import parse_repository_tag

from harness.settings import IMAGE_PREFIX


def ours(name: str) -> bool:
    """A name we gave: under our prefix, bare or behind a registry's host."""
    return name.startswith(IMAGE_PREFIX) or f"/{IMAGE_PREFIX}" in name


def split(name: str) -> tuple[str, str]:
    """Repository, and the tag or digest; `latest` if the name has neither."""
    repository, tag = parse_repository_tag(name)
    return repository, tag or "latest"
