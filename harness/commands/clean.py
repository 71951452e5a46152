"""`tare clean`: end and remove what killed runs left."""

from __future__ import annotations

import argparse
import shutil

HELP = "end and remove what killed runs left; --cache empties the cache too"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", action="store_true", help="also remove cached bases, packages and images")


def run(options: argparse.Namespace) -> int:
    from harness.host.keeper import sweep
    from harness.settings import Settings

    settings = Settings.from_environ()
    removed = sweep(settings.cache)
    print(f"removed: {', '.join(removed)}" if removed else "no killed run has left anything")
    if options.cache and settings.cache.exists():
        shutil.rmtree(settings.cache)
        print(f"removed the cache {settings.cache}")
    return 0
