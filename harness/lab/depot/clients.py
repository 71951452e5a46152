"""What each package manager must be told so that it fetches through a depot, and which RUN lines are told it.

Settings reach a build as files, mounted as secrets for the length of a RUN: no environment variable, no ARG and no
change to the command, and nothing in the layer or the history. A secret on a path whose folder is missing leaves
that folder behind (seen on dockerd 20.10), so a file goes only where the folder exists or where the tool itself
makes it. What stays is the time of change of that folder. Exceptions, for want of a better place: uv's /etc/uv, and
/.cargo where cargo runs as another user than root.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from harness.image.dockerfile import Instruction, Stage, stages, with_mounts
from harness.lab.apt.sources import without_credentials
from harness.lab.depot.upstreams import PUBLIC, Upstreams

APT = "/etc/apt/apt.conf.d/99tare"
PIP = "/etc/pip.conf"
UV = "/etc/uv/uv.toml"
MAVEN = "/usr/share/maven/conf/settings.xml"  # the installation's, in Debian's package and in the official image
CARGO = "/.cargo/config.toml"  # read for every folder, whatever CARGO_HOME is

_PROGRAMS = {
    "apt": r"apt|apt-get|aptitude",
    "pip": r"pip[\d.]*|pipx",
    "uv": r"uvx?",
    "npm": r"npm|npx|yarn|pnpm",
    "go": r"go",
    "maven": r"mvnd?|mvnw",
    "cargo": r"cargo",
    # May call any of the others; gets the files that are at home in every image.
    "unknown": r"make|gradlew|.+\.sh|(?:ba|da|z)?sh",
}
_SEPARATORS = re.compile(r"""[;&|(){}`"'\n<>\[\],]|\$\(|(?<!\S)(?:then|do|else|elif|if|while|until|!)(?!\S)""")
_WRAPPERS = ("exec", "env", "sudo", "time", "command", "nice", "xargs", "eval", "xvfb-run")
_ROOT = ("", "root", "0")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a RUN line runs. `user` is "" for root."""

    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """ "" where it cannot be told from the Dockerfile: a user known by number only."""
        if self.env.get("HOME"):
            return self.env["HOME"]
        if not self.user:
            return "/root"
        return "" if self.user.isdigit() else f"/home/{self.user}"


def files(upstreams: Upstreams, host: str, port: int) -> dict[str, bytes]:
    """Secret id → file, for every ecosystem a build can fetch through the depot at host:port.

    The depot is a plain HTTP proxy for the registries' public names. Go and uv have no setting for a proxy and are
    told the depot itself; Go writes no address anywhere, uv only into its cache.
    """
    url = f"http://{host}:{port}"
    public = {name: address.replace("https://", "http://", 1) for name, address in PUBLIC.items()}
    texts = {
        # apt asks the http proxy for https sources too, unless told otherwise; the depot tunnels nothing.
        "apt": f'Acquire::http::Proxy "{url}";\nAcquire::https::Proxy "DIRECT";\n',
        "pip": f"[global]\nindex-url = {public['pip']}\nproxy = {url}\n"
        f"trusted-host = {urlsplit(public['pip']).netloc}\n",
        "uv": f'[[index]]\nurl = "{through(url, PUBLIC["pip"])}"\ndefault = true\n',
        # audit asks the registry for what it knows today: no part of a build.
        "npm": f"registry={public['npm']}/\nproxy={url}\naudit=false\nupdate-notifier=false\n",
        "maven": _MAVEN_SETTINGS.format(url=public["maven"], host=host, port=port),
        "cargo": '[source.crates-io]\nreplace-with = "depot"\n[source.depot]\n'
        f'registry = "sparse+{public["cargo"]}/"\n[http]\nproxy = "{url}"\n',
    }
    if upstreams.go:  # go.sum still checks every module
        texts["go"] = f"GOPROXY={','.join(through(url, proxy) for proxy in upstreams.go)}\nGOSUMDB=off\n"
    return {_secret(name): text.encode() for name, text in texts.items()}


def rewrite(text: str, secrets: Collection[str], environs: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """The Dockerfile with a mount on every RUN line for each tool it calls, of those `secrets` (ids) has a file for.

    `environs` tells the environment of base images, by what FROM says or the name of its ARG: the official rust
    image, for one, sets CARGO_HOME.
    """
    places = {instruction.line: place for instruction, place in _places(stages(text), environs or {})}

    def mounts_for(instruction: Instruction) -> list[str]:
        taken = mount_targets(instruction)
        wanted = targets(instruction, places.get(instruction.line, Place()))
        return [
            f"--mount=type=secret,id={_secret(name)},target={target},mode=0444"  # 0444: for a USER other than root
            for name, target in wanted.items()
            if _secret(name) in secrets and target not in taken
        ]

    return with_mounts(text, mounts_for)


def targets(instruction: Instruction, place: Place) -> dict[str, str]:
    """Tool → where its file goes, for the tools a RUN line calls."""
    called = tools(instruction.command)
    found = {"apt": APT} if "apt" in called else {}
    if called & {"pip", "unknown"}:
        found["pip"] = PIP
    if "uv" in called:
        found["uv"] = UV
    if called & {"npm", "unknown"} and place.home:
        found["npm"] = f"{place.home}/.npmrc"
    if "go" in called and place.home:
        found["go"] = place.env.get("GOENV") or f"{place.env.get('XDG_CONFIG_HOME') or place.home + '/.config'}/go/env"
    if "maven" in called:
        own = f"{place.home}/.m2"
        # A file in a cache mount would leave its empty stub there, and one in a user's home a folder of root's.
        found["maven"] = MAVEN if place.user or own in mount_targets(instruction) else f"{own}/settings.xml"
    if "cargo" in called:
        home = place.env.get("CARGO_HOME") or ("" if place.user else f"{place.home}/.cargo")
        found["cargo"] = f"{home}/config.toml" if home else CARGO
    return found


def tools(command: str) -> set[str]:
    """Which of the tools a shell command (or the JSON form of one) calls. Quoted commands of a shell are seen too;
    a word in command position that only looks like a tool is taken for one."""
    found = set()
    for simple in _SEPARATORS.split(command):
        words = simple.split()
        while words and ("=" in words[0] or words[0] in _WRAPPERS or words[0].startswith("-")):
            words = words[1:]
        for word in words[:1]:
            name = PurePosixPath(word).name
            if re.fullmatch(r"python[\d.]*", name) and "-m" in words[1:]:
                name = (words[words.index("-m") + 1 :] or [""])[0]
            found |= {tool for tool, pattern in _PROGRAMS.items() if re.fullmatch(pattern, name)}
    return found


def mount_targets(instruction: Instruction) -> set[str]:
    """Paths a RUN line mounts something on already."""
    found = set()
    for flag in instruction.flags:
        if flag.startswith("--mount="):
            for part in flag.removeprefix("--mount=").split(","):
                key, _, value = part.partition("=")
                if key in ("target", "dst", "destination"):
                    found.add(value.rstrip("/"))
    return found


def through(depot: str, upstream: str) -> str:
    """An upstream's address as the depot itself serves it: …/-/https/host/path."""
    return f"{depot}/-/{without_credentials(upstream).replace('://', '/', 1)}"


def _places(found: Sequence[Stage], environs: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[Instruction, Place]]:
    """Every RUN line with user and environment as the lines and stages before it set them."""
    ended: dict[str, Place] = {}
    for stage in found:
        argument = stage.base.strip("${}").partition(":")[0]
        place = ended.get(stage.base.lower()) or Place(env=environs.get(stage.base) or environs.get(argument) or {})
        for instruction in stage.instructions:
            if instruction.keyword == "USER":
                user = instruction.arguments.partition(":")[0]
                place = replace(place, user="" if user in _ROOT else user)
            elif instruction.keyword == "ENV":
                place = replace(place, env={**place.env, **_environment(instruction.arguments)})
            elif instruction.keyword == "RUN":
                yield instruction, place
        ended[stage.name] = place


def _environment(arguments: str) -> dict[str, str]:
    """ENV a=b c="d e", or the old ENV a b."""
    try:
        words = shlex.split(arguments)
    except ValueError:
        return {}
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return dict(word.partition("=")[::2] for word in words)


def _secret(tool: str) -> str:
    return f"tare-{tool}"


# "central" as id: Maven writes it beside every file it fetches, as it does without a mirror.
_MAVEN_SETTINGS = """\
<settings>
  <mirrors><mirror><id>central</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors>
  <proxies><proxy><id>depot</id><active>true</active><protocol>http</protocol><host>{host}</host><port>{port}</port></proxy></proxies>
</settings>
"""
