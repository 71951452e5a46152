"""What an image asks of its team: lines to maintain, and what it lacks of a system."""

from __future__ import annotations

import pytest

from harness.image.read import read_image
from harness.image.tree import Tree
from harness.probes.care import lines
from harness.surface.furnishing import furnished
from support.images import File, Layer, layer, pieces, saved


def test_lines_are_what_somebody_has_to_maintain() -> None:
    assert lines("# a comment\nFROM x\n\nRUN a \\\n  # why\n && b\n") == 3


def look(files: Layer, *, user: str = "", passwd: bytes = b"", **environment: str) -> set[str]:
    tree = Tree(read_image(pieces(saved([layer(files)]))))
    return {name for name, there in furnished(tree, environment, user=user, passwd=passwd).items() if there}


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"usr/share/zoneinfo/Europe/Berlin": b"TZif"}, "zones"),
        ({"etc/ssl/certs/ca-certificates.crt": b"x"}, "certificates"),
        ({"etc/ssl/cert.pem": File(link="../pki/b"), "etc/pki/b": b"x"}, "certificates"),
        ({"usr/lib/locale/C.utf8/LC_CTYPE": b"x"}, "locale"),
    ],
)
def test_what_is_there_is_found_where_programs_look(files: Layer, name: str) -> None:
    assert look(files) == {name}


def test_a_link_to_nothing_is_nothing() -> None:
    assert look({"etc/ssl/cert.pem": File(link="/etc/pki/none")}) == set()


def test_certificates_may_lie_where_the_environment_says() -> None:
    assert look({"opt/ca.pem": b"x"}, SSL_CERT_FILE="/opt/ca.pem") == {"certificates"}


@pytest.mark.parametrize(("user", "known"), [("65532", True), ("app:app", True), ("1000", False), ("", False)])
def test_the_user_of_an_image_has_an_entry_or_not(user: str, known: bool) -> None:
    assert look({"x": b""}, user=user, passwd=b"app:x:65532:65532::/:/sbin/nologin\n") == (
        {"users"} if known else set()
    )
