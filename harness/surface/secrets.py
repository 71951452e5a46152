"""Private keys and credentials that were left in files or settings of an image.

The forms of tokens are published by their issuers and collected in the rules of gitleaks (config/gitleaks.toml,
https://github.com/gitleaks/gitleaks). Only the kind and the place of a secret are kept, never its text. Private keys
are looked for in every text file; tokens only in files that people write, because the files of a package are public
already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from harness.surface.finding import Secret

_KEY = b"PRIVATE KEY"
# with the body, because programs that read keys contain the bare words. In JSON a line's end is written \n.
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]{1,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:\\n|[\s:,A-Za-z0-9+/=-]){64}"
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    needles: tuple[bytes, ...]  # one of them is in every match, and a search for a literal is many times as fast
    form: re.Pattern[bytes]


_TOKENS = (
    _Token(
        "AWS access key", (b"AKIA", b"ASIA"), re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b(?<!EXAMPLE)")
    ),  # the end of the keys in AWS's documentation
    _Token("GitHub token", (b"ghp_", b"gho_", b"ghs_"), re.compile(rb"\bgh[pos]_[0-9A-Za-z]{36}\b")),
    _Token("GitHub token", (b"github_pat_",), re.compile(rb"\bgithub_pat_\w{82}\b")),
    _Token("GitLab token", (b"glpat-",), re.compile(rb"\bglpat-[\w-]{20,}")),
    _Token("Slack token", (b"xoxb-", b"xoxp-"), re.compile(rb"\bxox[bp]-\d{10,13}-[\w-]{20,}")),
    _Token("npm token", (b"npm_",), re.compile(rb"\bnpm_[0-9A-Za-z]{36}\b")),
    _Token("PyPI token", (b"pypi-AgEI",), re.compile(rb"\bpypi-AgEI[\w-]{50,}")),
    _Token("Stripe key", (b"sk_live_",), re.compile(rb"\bsk_live_[0-9A-Za-z]{20,}")),
    _Token("Google API key", (b"AIza",), re.compile(rb"\bAIza[\w-]{35}\b")),
)

# By the end of the path: the form of the line that holds a password.
_FILES = tuple(
    (ending, kind, re.compile(form, re.MULTILINE))
    for ending, kind, form in (
        (".netrc", "password in .netrc", rb"\bpassword\s+\S+"),
        ("auth.conf", "password of apt", rb"^[ \t]*machine[ \t].*\bpassword\s+\S+"),
        (".npmrc", "npm credentials", rb"_(?:authToken|auth|password)\s*=\s*(?!\$\{)\S+"),
        (".pypirc", "PyPI password", rb"^[ \t]*password\s*[:=]\s*\S+"),
        ("pip.conf", "password in an index address", rb"://[^/\s:@]+:[^/\s@]+@"),
        (".git-credentials", "git password", rb"://[^/\s:@]+:[^/\s@]+@"),
        (".docker/config.json", "registry credentials", rb'"(?:auth|identitytoken)"\s*:\s*"[^"]+"'),
        (".aws/credentials", "AWS secret key", rb"^[ \t]*aws_secret_access_key\s*=\s*\S+"),
        (".m2/settings.xml", "Maven password", rb"<password>[^<${][^<]*</password>"),
        (".cargo/credentials.toml", "cargo token", rb"^[ \t]*token\s*=\s*\S+"),
        (".kube/config", "Kubernetes credentials", rb"^[ \t]*(?:token|password|client-key-data):\s*\S+"),
        (".pgpass", "PostgreSQL password", rb"^(?!#)(?:[^:\n]*:){4}\S+"),
        ("etc/shadow", "password hash", rb"^[^:\n]+:\$[^:\n]+:"),
        (".htpasswd", "password hash", rb"^[^:\n]+:\S+"),
        (
            ".env",
            "secret in .env",
            rb"^(?:export )?\w{0,60}(?:SECRET|TOKEN|PASSW(?:OR)?D|CREDENTIAL"
            rb"|(?:API|ACCESS|PRIVATE|AUTH|SIGNING|ENCRYPTION)_?KEY)"
            rb"\w{0,60}[ \t]*=[ \t]*[^\s$]+",
        ),
    )
)
_NAMES = frozenset(ending.rpartition("/")[2] for ending, _, _ in _FILES)
_TEMPLATES = (".example", ".sample", ".template", ".dist", ".defaults")  # names of files that people fill in
_SECRET_NAME = re.compile(r"(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|CREDENTIALS?)(?:_|$)", re.IGNORECASE)


def in_file(path: str, data: bytes) -> tuple[Secret, ...]:
    """The secrets of a text file, at most a hundred; `data` is its whole content."""
    # almost no file of an image can have one, and an image has tens of thousands of files
    folder, _, name = path.rpartition("/")
    known = name in _NAMES or (".env" in name and _settings_file(name) in _NAMES)
    if _KEY not in data and not known and not _where_people_leave_things(folder):
        return ()
    return tuple(islice(_in_file(path, data), 100))


def _in_file(path: str, data: bytes) -> Iterator[Secret]:
    if _KEY in data:
        for match in _PRIVATE_KEY.finditer(data):
            yield Secret("private key", _line(data, match))
    folder, _, name = path.rpartition("/")
    known = _settings_file(name)
    if known in _NAMES:
        for ending, kind, form in _FILES:
            if f"{folder}/{known}".endswith(ending) and (first := form.search(data)):
                yield Secret(kind, _line(data, first))
    if _where_people_leave_things(folder):
        for token in _TOKENS:
            for needle in token.needles:
                if needle in data:
                    yield from (Secret(token.kind, _line(data, match)) for match in token.form.finditer(data))
                    break


def _settings_file(name: str) -> str:
    """The name that `_FILES` knows a file by: `.env` for `.env.production` and `prod.env`, and not for templates."""
    if name.endswith(".env") or (name.startswith(".env.") and not name.endswith(_TEMPLATES)):
        return ".env"
    return name


def in_environment(pairs: Iterable[str]) -> Iterator[str]:
    """Names of variables of an image's configuration that hold a secret, by their names, and are not empty."""
    for pair in pairs:
        name, _, value = pair.partition("=")
        if value and _SECRET_NAME.search(name) and not value.startswith(("/", "$")):
            yield name


def in_history(steps: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Names of build arguments whose values the image's history shows (`|1 NPM_TOKEN=… /bin/sh -c …`)."""
    for step in steps:
        said = str(step.get("created_by", ""))
        if match := re.match(r"(?:RUN )?\|\d+ (.*?)(?:/bin/|$)", said, re.DOTALL):
            yield from in_environment(match[1].split())


@lru_cache(maxsize=256)  # files come folder by folder
def _where_people_leave_things(folder: str) -> bool:
    inside = f"/{folder}/"
    if inside.startswith(("/usr/", "/lib/", "/var/lib/")) and not inside.startswith(("/usr/src/", "/usr/local/")):
        return False  # not in files of packages
    return "/node_modules/" not in inside and "/site-packages/" not in inside and "/dist-packages/" not in inside


def _line(data: bytes, match: re.Match[bytes]) -> int:
    return data.count(b"\n", 0, match.start()) + 1
