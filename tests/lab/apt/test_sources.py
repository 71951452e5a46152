from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BaseUnavailable
from harness.lab.apt import sources as aptsources
from harness.lab.apt.sources import AptSource

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
WORDS = st.text("abcdefghij-0123456789", min_size=1, max_size=8)
SOURCES = st.builds(
    AptSource,
    uris=st.lists(WORDS.map(lambda name: f"http://{name}.test/debian"), min_size=1, max_size=2).map(tuple),
    suites=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    components=st.lists(WORDS, max_size=3).map(tuple),
    options=st.dictionaries(st.sampled_from(["signed-by", "trusted", "check-valid-until"]), WORDS),
)


def turn(*sources: AptSource, codename: str = "bookworm", keyring: Path | None = None) -> tuple[AptSource, ...]:
    return aptsources.for_release(sources, release="trixie", codename=codename, keyring=keyring)


def source(uri: str = "http://mirror.test/debian", *suites: str, components=("main",), **options: str) -> AptSource:
    options = {name.replace("_", "-"): value for name, value in options.items()}
    return AptSource(uris=(uri,), suites=suites or ("bookworm",), components=components, options=options)


@given(st.lists(SOURCES, max_size=4))
def test_what_is_rendered_is_read_again(sources):
    assert list(aptsources.parse_deb822(aptsources.render(sources))) == sources


def test_one_line_form():
    text = """
    # deb http://mirror.test/debian bookworm main
    deb http://mirror.test/debian bookworm main contrib # comment
    deb-src http://mirror.test/debian bookworm main
    deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm-updates main
    deb cdrom:[Debian 12]/ bookworm main
    deb http://mirror.test/flat ./
    """
    first, second = aptsources.parse_list(text)
    assert (first.suites, first.components, first.options) == (("bookworm",), ("main", "contrib"), {})
    assert (second.suites, second.options) == (("bookworm-updates",), {"signed-by": "/k.gpg"})


def test_deb822_form_with_comments_continuations_and_disabled_stanzas():
    text = """\
Types: deb deb-src
# a remark
URIs: http://mirror.test/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://mirror.test/off
Suites: bookworm
Components: main

Types: deb-src
URIs: http://mirror.test/source
Suites: bookworm
Components: main
"""
    (found,) = aptsources.parse_deb822(text)
    assert found.suites == ("bookworm", "bookworm-updates")
    assert "abc" in found.options["signed-by"]
    assert list(aptsources.parse_deb822(found.deb822())) == [found]


def test_files_are_read_in_apts_order(tmp_path):
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.test/debian bookworm main\n")
    (folder / "b.list").write_text("deb http://three.test/debian bookworm main\n")
    (folder / "a.sources").write_text(source("http://two.test/debian").deb822())
    (folder / "c.list.disabled").write_text("deb http://four.test/debian bookworm main\n")
    assert [found.uris[0].split(".")[0][7:] for found in aptsources.read(tmp_path)] == ["one", "two", "three"]
    assert aptsources.read(tmp_path / "nowhere") == ()


def test_pockets_follow_the_release():
    (found,) = turn(source("http://m.test/debian", "bookworm", "bookworm-updates", "bookworm-backports"))
    assert found.suites == ("trixie", "trixie-updates")
    _, security = turn(source(), source("http://m.test/security", "bookworm-security"))
    assert security.suites == ("trixie-security",)


@pytest.mark.parametrize("suite", ["stable", "oldstable", "sid", "testing", "bullseye"])
def test_names_that_move_and_older_ones(suite):
    (found,) = turn(source("http://m.test/debian", suite), codename="bullseye")
    assert found.suites == ("trixie",)


def test_a_release_of_its_own_stays():
    (found,) = turn(source("http://m.test/debian", "trixie"), codename="trixie")
    assert found.suites == ("trixie",)


def test_repositories_of_others_are_left_out():
    own = source(signed_by=KEYRING)
    others = [
        source("http://vendor.test/apt", signed_by="/etc/apt/keyrings/vendor.gpg"),
        source("http://vendor.test/unsigned"),
        source("http://vendor.test/stable", components=("stable",)),
        source("http://vendor.test/own-suite", "bookworm-pgdg"),
    ]
    assert [found.uris for found in turn(*others, own)] == [own.uris]
    assert [found.uris for found in turn(others[0], source())] == [source().uris]


def test_archive_keys_give_way_to_the_whole_keyring_and_others_stay():
    keyring = Path("/keys/debian-archive-keyring.pgp")
    (found,) = turn(source(signed_by="/usr/share/keyrings/debian-archive-bookworm-stable.gpg"), keyring=keyring)
    assert found.options["signed-by"] == str(keyring)
    (found,) = turn(source(), keyring=keyring)
    assert found.options["signed-by"] == str(keyring)
    (found,) = turn(source(signed_by="/company.gpg"), keyring=keyring)
    assert found.options["signed-by"] == "/company.gpg"


@pytest.mark.parametrize(
    "sources", [(), (source("http://m.test/debian", "noble"),), (source(components=("contrib",)),)]
)
def test_no_source_left_is_said_with_a_way_out(sources):
    with pytest.raises(BaseUnavailable, match=r"trixie.*TARE_LANE=upstream"):
        turn(*sources)


def test_duplicates_are_asked_once():
    assert len(turn(source(), source())) == 1


def test_credentials_stay_out_of_records():
    assert aptsources.without_credentials("https://me:secret@m.test:8/debian") == "https://m.test:8/debian"
    assert aptsources.without_credentials("http://m.test/debian") == "http://m.test/debian"


def test_vendor(tmp_path):
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    assert aptsources.vendor(path) == ("debian", "bookworm")
    assert aptsources.vendor(tmp_path / "none") == ("", "")
