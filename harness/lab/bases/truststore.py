"""Java's copy of a CA bundle."""

from __future__ import annotations

import hashlib
import ssl

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
TRUSTSTORE = "etc/ssl/certs/java/cacerts"
_PASSWORD = "changeit"  # the password of every Java trust store; it protects nothing


def truststore(bundle: str, *, at: int) -> bytes:
    """A Java trust store (JKS, version 2) of the certificates in `bundle` (PEM), dated `at` (Unix time, s).

    keytool would date entries now and salt its PKCS #12; this gives the same bytes for the same bundle.
    Format: sun.security.provider.JavaKeyStore of OpenJDK.
    """
    ends = "-----END CERTIFICATE-----"
    blocks = [block[block.index("-----BEGIN") :] + ends for block in bundle.split(ends) if "-----BEGIN" in block]
    body = bytearray(b"\xfe\xed\xfe\xed" + (2).to_bytes(4, "big") + len(blocks).to_bytes(4, "big"))
    for block in blocks:
        der = ssl.PEM_cert_to_DER_cert(block)
        body += (2).to_bytes(4, "big") + _utf(hashlib.sha256(der).hexdigest()) + (at * 1000).to_bytes(8, "big")
        body += _utf("X.509") + len(der).to_bytes(4, "big") + der
    seal = hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body, usedforsecurity=False)
    return bytes(body) + seal.digest()


def _utf(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode("ascii")
