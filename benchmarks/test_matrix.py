"""The matrix: every cell under every probe.

All of it is measured in interleaved blocks before the first test runs (harness/plugin.py); each test then reports
what was recorded for its cell, and fails with the recorded reason where there is nothing to report.
"""


def test_value(recorded):
    """Sizes and memory: recorded, and shown in the tables."""
    recorded.check()


def test_duration(recorded, benchmark):
    """Durations: recorded, and replayed so that pytest-benchmark's tables, JSON and compare work on them."""
    recorded.replay(benchmark)
