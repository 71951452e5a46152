"""`python -m harness` is `tare`."""

import sys

from harness.cli import main

sys.exit(main())
