"""Patterns match what Docker's own matcher matches: its tests' cases (moby/patternmatcher, patternmatcher_test.go)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.image.ignore import BadPattern, Matcher, read_patterns


def matches(patterns: list[str], path: str) -> bool:
    """Through its folders, as a walk comes to it."""
    matcher, parent = Matcher(patterns), None
    parts = path.split("/")
    for end in range(1, len(parts)):
        _, parent = matcher.match("/".join(parts[:end]), parent)
    return matcher.match(path, parent)[0]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "file", True),
        ("**/", "file", True),
        ("**", "dir/file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("**/dir", "dir", True),
        ("**/dir", "dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**/dir2/**", "dir/dir2/dir3/file", True),
        ("**file", "file", True),
        ("**file", "dir/dir/file", True),
        ("**/file", "dir/dir/file", True),
        ("**/file*txt", "dir/dir/file.txt", True),
        ("**/file*.txt*", "dir/dir/file.txt", True),
        ("**/**/*.txt", "dir/dir/file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("**/*.txt", "file.txt", True),
        ("a**/*.txt", "a/dir/dir/file.txt", True),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt**", "a/file.txt", True),
        ("a[b-d]e", "ae", False),
        ("a[b-d]e", "ace", True),
        ("a[b-d]e", "aae", False),
        ("a[^b-d]e", "aze", True),
        (".*", ".foo", True),
        (".*", "foo", False),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abcZdef", True),
        ("abc?def", "abcdef", False),
        ("a\\\\", "a\\", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("**/foo/bar", "dir/dir2/foo/bar", True),
        ("abc/**", "abc", False),
        ("abc/**", "abc/def/ghi", True),
        ("**/.foo", "bar.foo", False),
        ("a(b)c/def", "a(b)c/def", True),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", True),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("[a-ζ]*", "α", True),
        ("*[a-ζ]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("docs/", "docs/README.md", True),
    ],
)
def test_one_pattern(pattern: str, path: str, expected: bool) -> None:
    assert matches([pattern], path) is expected


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["!fileutils.go", "*.go"], "fileutils.go", True),
        (["*.go", "!fileutils.go"], "fileutils.go", False),
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs/*", "!docs/README.md"], "docs/README.md", False),
        (["**", "!util/docker/web"], "util/docker/web/foo", False),
        (["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", True),
        (["**", "!dist/*.whl"], "dist/proxy.whl", False),
        ([], "any/path/there", False),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: list[str], path: str, expected: bool) -> None:
    assert matches(patterns, path) is expected


@pytest.mark.parametrize("pattern", ["[", "a[", "[]a]", "[-]", "[a-]", "a\\", "[a", "!"])
def test_malformed_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Matcher([pattern])


def test_a_file_of_patterns() -> None:
    data = b"\xef\xbb\xbf# words\n\n  a/b/ \r\n/root/x\n ! /c\n#d\n!\n  # e\nb/../f\n"
    assert read_patterns(data) == ["a/b", "root/x", "!c", "!", "# e", "f"]


@given(st.lists(st.text(alphabet="ab*?!/[]^-\\. é", max_size=6), max_size=4), st.text(alphabet="ab/.é", min_size=1))
def test_whatever_is_written_is_read_or_refused(patterns: list[str], path: str) -> None:
    try:
        found = matches(patterns, path)
    except BadPattern:
        return
    assert found in (True, False)
    if not any(pattern.strip().startswith("!") for pattern in patterns):
        assert matches([*patterns, "**"], path) is True
