"""`tare clean`: stop and remove what killed runs left."""

from __future__ import annotations

import argparse
import shutil

from harness.commands import Group

HELP = "stop and remove what killed runs left; --cache also empties the cache"
GROUP = Group.MAINTAIN
PLACE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", action="store_true", help="also remove the cached bases, packages and images")


def run(options: argparse.Namespace) -> int:
    from harness.errors import UsageError
    from harness.host.cache import is_cache
    from harness.host.reaper import sweep
    from harness.settings import Settings

    settings = Settings.from_environ()
    if options.cache and settings.cache.exists() and not is_cache(settings.cache):
        raise UsageError("not a cache of Tare", where=str(settings.cache), fix="Set TARE_CACHE, or remove it yourself.")
    removed = sweep(settings.cache)
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove: no killed run left anything")
    if options.cache and settings.cache.exists():
        shutil.rmtree(settings.cache)
        print(f"removed the cache {settings.cache}")
    return 0
