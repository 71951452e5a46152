"""Reading claims: the format, and every mistake with file, line and fix."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from harness.claims.claim import EndsAs, Follows, Less, Same, Within
from harness.claims.read import _TESTS, read_claims
from harness.errors import CatalogueError
from harness.model import Metric, Status, Unit
from harness.probes import all_probes

ROOT = Path(__file__).parents[2]
METRICS = (
    Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, help=""),
    Metric(name="pull.empty.total", unit=Unit.SECONDS, help=""),
    Metric(name="surface.shells", unit=Unit.COUNT, deterministic=True, help=""),
)


def read(tmp_path, *interpretations, name="mine", head=""):
    path = tmp_path / "claims.toml"
    tables = "".join(f'[[claim.interpretation]]\ntitle = "so"\n{text}\n' for text in interpretations)
    path.write_text(head or f'[[claim]]\nname = "{name}"\nsays = "So it is."\n{tables}')
    return read_claims(path, METRICS)


def stated_test(tmp_path, test, metric="size.transfer"):
    (claim,) = read(tmp_path, f'metric = "{metric}"\ncells = ["*"]\n{test}')
    return claim.interpretations[0].test


def test_the_claims_of_the_source_are_sound():
    metrics = [metric for probe in all_probes() for metric in probe.metrics]
    claims = read_claims(ROOT / "variants" / "claims.toml", metrics)
    assert len(claims) >= 10
    assert all(claim.interpretations for claim in claims)
    assert any(isinstance(interpretation.test, EndsAs) for claim in claims for interpretation in claim.interpretations)


def test_the_documentation_shows_a_sound_file_and_every_test(tmp_path):
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    path = tmp_path / "claims.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    (claim,) = read_claims(path, METRICS)
    assert claim.interpretations[0].decide
    assert all(f"`{test} = " in text for test in _TESTS)


@pytest.mark.parametrize(
    ("test", "low", "high", "words"),
    [
        ('about = "400 MB"\ntolerance = 0.25', 300e6, 500e6, "about 400 MB ± 25 %"),
        ('at_least = "1 GB"', 1e9, math.inf, "at least 1 GB"),
        ('at_least = "10 MB"\nat_most = "15 MB"', 10e6, 15e6, "at least 10 MB and at most 15 MB"),
        ('equals = "512 B"', 512.0, 512.0, "exactly 512 B"),
    ],
)
def test_bounds_are_in_the_metrics_unit(tmp_path, test, low, high, words):
    found = stated_test(tmp_path, test)
    assert isinstance(found, Within)
    assert (found.low, found.high, found.words) == (pytest.approx(low), pytest.approx(high), words)


def test_times_and_counts(tmp_path):
    assert stated_test(tmp_path, 'at_most = "80 ms"', "pull.empty.total").high == pytest.approx(0.08)
    assert stated_test(tmp_path, 'at_most = "1.5 s"', "pull.empty.total").high == 1.5
    assert stated_test(tmp_path, "equals = 0", "surface.shells").high == 0
    assert stated_test(tmp_path, "equals = 0", "notyet.known").high == 0


def test_comparisons(tmp_path):
    assert stated_test(tmp_path, 'less_than = ["*-full"]') == Less(than=("*-full",))
    assert stated_test(tmp_path, 'follows = "size.transfer"', "pull.empty.total") == Follows(
        metric="size.transfer", apart=1.1, exceptions=0.0
    )
    assert stated_test(tmp_path, "same = 0.01") == Same(tolerance=0.01)
    (claim,) = read(tmp_path, 'cells = ["go-scratch"]\noutcome = "fails"')
    (other,) = read(tmp_path, 'cells = ["go-scratch"]\noutcome = "exited"')
    assert other.interpretations[0].test == EndsAs(status=Status.EXITED)
    assert claim.interpretations[0].test == EndsAs(status=None) and claim.interpretations[0].metric == ""


GOOD = 'metric = "size.transfer"\ncells = ["*"]\n'


@pytest.mark.parametrize(
    ("interpretation", "line", "what", "fix"),
    [
        (GOOD, 4, "the test is missing", "Add one of about, "),
        (GOOD + "same = 0\nequals = 1", 8, "equals and same together", "a separate interpretation of each"),
        (GOOD + 'about = "400 MB"', 4, "tolerance is missing", "Add tolerance = "),
        (GOOD + 'about = "400 elephants"\ntolerance = 0.1', 8, "elephants", "a number and a unit (B, kB, KB, MB"),
        (GOOD + 'about = "80 ms"\ntolerance = 0.1', 8, "size.transfer is in B", 'Write "400 MB"'),
        (GOOD + "equals = 400", 8, "size.transfer is in B", 'Write "400 MB"'),
        (GOOD + "equals = true", 8, "equals is true", "text in quotes or a number"),
        (GOOD + "equals = nan", 8, "equals is nan", "Use a number"),
        (GOOD + 'at_least = "2 GB"\nat_most = "1 GB"', 8, "at_least is above at_most", "Swap"),
        (GOOD + 'about = "1 MB"\ntolerance = -1', 9, "tolerance is -1", "Use 0 to 10"),
        (
            GOOD + 'follows = "pull.empty.totl"',
            8,
            "no metric has the name pull.empty.totl",
            "Did you mean pull.empty.total?",
        ),
        (GOOD + 'less_than = "full"', 8, 'less_than is "full"', "a list of texts"),
        (GOOD + "less_than = []", 8, "less_than is empty", "patterns of cell ids"),
        (GOOD + "same = 0\napart = 2", 9, "unknown key apart", "Known keys"),
        ('metric = "size.transfer"\nsame = 0', 4, "cells is missing", "Add cells"),
        (
            'metric = "size.transfr"\ncells = ["*"]\nsame = 0',
            6,
            "no metric has the name size.transfr",
            "size.transfer?",
        ),
        ('cells = ["*"]\nsame = 0', 4, "metric is missing", "Add metric"),
        ('metric = "size.transfer"\ncells = ["*"]\noutcome = "works"', 6, "unknown key metric", "Known keys"),
        ('cells = ["*"]\noutcome = "maybe"', 7, 'outcome is "maybe"', "works, fails, timeout, exited"),
    ],
)
def test_mistakes_are_told_with_file_line_and_fix(tmp_path, interpretation, line, what, fix):
    with pytest.raises(CatalogueError) as told:
        read(tmp_path, interpretation)
    assert told.value.where == f"{tmp_path / 'claims.toml'}:{line}"
    assert what in told.value.what and fix in told.value.fix


def test_the_older_name_of_an_interpretation_still_reads(tmp_path):
    head = f'[[claim]]\nname = "old"\nsays = "."\n[[claim.reading]]\ntitle = "."\n{GOOD}same = 0\n'
    (claim,) = read(tmp_path, head=head)
    assert [each.title for each in claim.interpretations] == ["."]


def test_two_claims_of_one_name_and_claims_without_interpretations(tmp_path):
    with pytest.raises(CatalogueError, match="twice is already the name of a claim"):
        one = f'[[claim]]\nname = "twice"\nsays = "."\n[[claim.interpretation]]\ntitle = "."\n{GOOD}same = 0\n'
        read(tmp_path, head=one * 2)
    with pytest.raises(CatalogueError, match="interpretation is missing"):
        read(tmp_path)
    with pytest.raises(CatalogueError, match='name is "Not This"'):
        read(tmp_path, GOOD + "same = 0", name="Not This")
    with pytest.raises(CatalogueError, match="claim is missing"):
        read(tmp_path, head="# nothing\n")


def test_every_mistake_of_a_file_is_named_at_once(tmp_path):
    with pytest.raises(CatalogueError, match=r"Also line 9 \(the test is missing\)"):
        read(tmp_path, GOOD + "same = -1", GOOD)
