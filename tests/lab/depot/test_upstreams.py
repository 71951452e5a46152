from __future__ import annotations

import ssl

import pytest

from harness.lab.depot import upstreams
from harness.lab.depot.depot import Depot

MIRROR = "https://mirror.example.test"


@pytest.fixture
def bare_host(monkeypatch, tmp_path):
    """A host whose user has configured nothing: the tools are this machine's, the home is empty."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / ".cargo"))
    for name in ("PIP_INDEX_URL", "npm_config_registry", "GOPROXY", "GOENV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_tools_are_asked(bare_host, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"{MIRROR}/pip/simple/")
    monkeypatch.setenv("npm_config_registry", f"{MIRROR}/npm/")
    monkeypatch.setenv("GOPROXY", f"{MIRROR}/go/,direct")
    (bare_host / ".cargo").mkdir()
    (bare_host / ".cargo" / "config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "ours"\n[source.ours]\nregistry = "sparse+{MIRROR}/cargo/"\n'
    )
    (bare_host / ".m2").mkdir()
    (bare_host / ".m2" / "settings.xml").write_text(
        f"<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>{MIRROR}/maven/</url></mirror></mirrors></settings>"
    )
    found = upstreams.read()
    assert (found.pip, found.npm, found.go) == (f"{MIRROR}/pip/simple", f"{MIRROR}/npm", (f"{MIRROR}/go",))
    assert (found.cargo, found.maven) == (f"{MIRROR}/cargo", f"{MIRROR}/maven")
    assert found.addresses()[-1] == f"{MIRROR}/cargo"


@pytest.mark.usefixtures("bare_host")
def test_without_the_tools_their_published_defaults_count(monkeypatch):
    monkeypatch.setattr(upstreams, "_ask", lambda *_: "")
    monkeypatch.setattr(upstreams, "find_program", lambda _: None)
    found = upstreams.read()
    assert {name: getattr(found, name) for name in ("pip", "npm", "maven", "cargo")} | {"go": found.go[0]} == dict(
        upstreams.PUBLIC
    )


@pytest.mark.usefixtures("bare_host")
def test_a_proxy_makes_a_depot_impossible_unless_it_is_bypassed(monkeypatch):
    monkeypatch.setattr(upstreams, "_ask", lambda *_: "")
    monkeypatch.setenv("https_proxy", "http://proxy.example.test:3128")
    found = upstreams.read()
    assert found.proxies[found.pip] == "http://proxy.example.test:3128"
    assert "through a proxy" in Depot.impossible(found)
    monkeypatch.setenv("no_proxy", "*")
    assert upstreams.read().proxies == {}


@pytest.mark.usefixtures("bare_host")
def test_authorities_are_files_of_certificates(monkeypatch, tmp_path):
    own = tmp_path / "own.pem"
    own.write_text("")
    monkeypatch.setattr(upstreams, "_ask", lambda *_: "")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    found = upstreams.read().authorities
    assert found[0] == own.resolve() and len(set(found)) == len(found)
    assert [path for path in found[1:] if not ssl.create_default_context(cafile=path).cert_store_stats()["x509"]] == []


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("https://a,direct", ("https://a",)),
        ("https://a/|http://b/x,off", ("https://a", "http://b/x")),
        ("direct", ()),
        ("off", ()),
    ],
)
def test_go_proxies(setting, found):
    assert upstreams.go_proxies(setting) == found


def test_a_cargo_registry_may_be_named_elsewhere_and_must_be_sparse(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[source.crates-io]\nreplace-with = "a"\n[source.a]\nreplace-with = "b"\n'
        '[registries.b]\nindex = "sparse+https://b/i/"\n[http]\ncainfo = "/ca.pem"\n'
    )
    assert upstreams.cargo_registry(tmp_path) == ("https://b/i/", "/ca.pem")
    config.write_text(
        '[source.crates-io]\nreplace-with = "a"\n[source.a]\nregistry = "https://git.example.test/index"\n'
    )
    assert upstreams.cargo_registry(tmp_path) == ("", "")
    config.write_text('[source.a]\nreplace-with = "a"\n[source.crates-io]\nreplace-with = "a"\n')
    assert upstreams.cargo_registry(tmp_path) == ("", "")
    config.write_text("not toml =")
    assert upstreams.cargo_registry(tmp_path) == ("", "")


def test_the_first_mirror_that_serves_central(tmp_path):
    settings = tmp_path / "settings.xml"
    settings.write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>'
        "<mirror><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url></mirror>"
        "<mirror><mirrorOf>*,!central</mirrorOf><url>https://not</url></mirror>"
        "<mirror><mirrorOf>jcenter, central</mirrorOf><url> https://this/ </url></mirror>"
        "<mirror><mirrorOf>*</mirrorOf><url>https://late</url></mirror></mirrors></settings>"
    )
    broken = tmp_path / "broken.xml"
    broken.write_text("<settings>")
    assert upstreams.maven_mirror([tmp_path / "missing.xml", broken, settings]) == "https://this/"
    assert upstreams.maven_mirror([broken]) == ""


def test_archives_are_told_by_the_end_of_the_path():
    addresses = [
        "http://m/debian",
        "https://m/x/debian-security/",
        "http://n/debian",
        "cdrom:/debian",
        "http://m/node_20.x",
    ]
    assert dict(upstreams.archives(addresses)) == {
        "debian": "http://m/debian",
        "debian-security": "https://m/x/debian-security/",
    }


def test_apt_has_proxies_of_its_own():
    url = "http://m/debian"
    assert upstreams.apt_proxy(url, {}) == ""
    assert upstreams.apt_proxy(url, {"http::Proxy": "http://p:3142"}) == "http://p:3142"
    assert upstreams.apt_proxy(url, {"http::Proxy": "http://p:3142", "http::Proxy::m": "DIRECT"}) == ""
    assert upstreams.apt_proxy("https://m/debian", {"http::Proxy": "http://p", "https::Proxy": "DIRECT"}) == ""


def test_nameservers_as_nginx_writes_them(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 9.9.9.9\nnameserver 10.0.0.1\nsearch x\nnameserver fd00::1\nnameserver fe80::1%eth0\n"
    )
    assert upstreams.nameservers(path) == ("10.0.0.1", "[fd00::1]")
    assert upstreams.nameservers(tmp_path / "missing") == ()
