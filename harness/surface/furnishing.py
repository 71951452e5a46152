"""What programs expect of a system beside themselves, and whether an image has it.

The paths are the ones that C libraries, Go (crypto/x509/root_linux.go, time/zoneinfo_unix.go), Java and OpenSSL look
at.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.image.tree import Tree

_ZONES = ("usr/share/zoneinfo/Europe/Berlin", "usr/lib/zoneinfo/Europe/Berlin", "usr/share/lib/zoneinfo/Europe/Berlin")
_CERTIFICATES = (
    *("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem"),
    *("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/ssl/cert.pem"),
)
_LOCALES = ("usr/lib/locale", "usr/share/i18n/locales/musl")
NAMES = ("zones", "certificates", "users", "locale")


def furnished(tree: Tree, environment: Mapping[str, str], *, user: str, passwd: bytes) -> dict[str, bool]:
    """Whether an image has time zones, certificate authorities, an entry for the user that it runs as, and a locale."""
    bundle = environment.get("SSL_CERT_FILE", "").strip("/")
    return {
        "zones": any(map(tree.follow, _ZONES)),
        "certificates": any(map(tree.follow, (*_CERTIFICATES, *filter(None, (bundle,))))),
        "users": _is_known(user, passwd),
        "locale": any(_has_files(tree, path) for path in _LOCALES),
    }


def _has_files(tree: Tree, path: str) -> bool:
    node = tree.follow(path)
    return node is not None and bool(node.children)


def _is_known(user: str, passwd: bytes) -> bool:
    """Whether /etc/passwd has the user that the configuration names, by name or number; without a name it is root."""
    name = user.partition(":")[0] or "0"
    rows = (line.split(":") for line in passwd.decode("utf-8", "replace").splitlines())
    return any(len(row) > 2 and name in (row[0], row[2]) for row in rows)
