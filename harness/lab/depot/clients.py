"""The settings with which each package manager fetches through a depot, and which steps of a build get them.

Settings reach a build as files, mounted as secrets for the length of a RUN: no environment variable, no ARG and no
change to the Dockerfile, and nothing in the layer or the history. The mounts are added to the plan that BuildKit has
made of the Dockerfile, which also holds the user and the environment of each step (harness/engine/plan.py).

A secret on a path whose folder is missing leaves that folder behind (seen on dockerd 20.10), so a file goes only where
the folder exists or where the tool itself makes it. Only the time of change of that folder stays different. There are
two exceptions, because there is no better place: uv's /etc/uv, and /.cargo if cargo runs as another user than root.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from harness.engine.contract import RunStep
from harness.lab.apt.sources import without_credentials
from harness.lab.depot.upstreams import PUBLIC, Upstreams

APT = "/etc/apt/apt.conf.d/99tare"
PIP = "/etc/pip.conf"
UV = "/etc/uv/uv.toml"
# the file of the installation, in Debian's package and in the official image
MAVEN = "/usr/share/maven/conf/settings.xml"
CARGO = "/.cargo/config.toml"  # cargo reads it for every folder, whatever CARGO_HOME is

_PROGRAMS = {
    "apt": r"apt|apt-get|aptitude",
    "pip": r"pip[\d.]*|pipx",
    "uv": r"uvx?",
    "npm": r"npm|npx|yarn|pnpm",
    "go": r"go",
    "maven": r"mvnd?|mvnw",
    "cargo": r"cargo",
    # make may call any of the others; it gets the files that have a place in every image.
    "unknown": r"make|gradlew|.+\.sh|(?:ba|da|z)?sh",
}
_SEPARATORS = re.compile(r"""[;&|(){}`"'\n<>\[\],]|\$\(|(?<!\S)(?:then|do|else|elif|if|while|until|!)(?!\S)""")
_WRAPPERS = ("exec", "env", "sudo", "time", "command", "nice", "xargs", "eval", "xvfb-run")
_ROOT = ("", "root", "0")


def files(upstreams: Upstreams, host: str, port: int) -> dict[str, bytes]:
    """Secret id → file, for every ecosystem that a build can fetch through the depot at host:port.

    The depot is a plain HTTP proxy for the registries' public names. Go and uv have no setting for a proxy, so their
    settings name the depot itself; Go writes no address anywhere, and uv writes it only into its cache.
    """
    url = f"http://{host}:{port}"
    public = {name: address.replace("https://", "http://", 1) for name, address in PUBLIC.items()}
    texts = {
        # Without this setting apt asks the http proxy for https sources too; the depot tunnels nothing.
        "apt": f'Acquire::http::Proxy "{url}";\nAcquire::https::Proxy "DIRECT";\n',
        "pip": f"[global]\nindex-url = {public['pip']}\nproxy = {url}\n"
        f"trusted-host = {urlsplit(public['pip']).netloc}\n",
        "uv": f'[[index]]\nurl = "{through(url, PUBLIC["pip"])}"\ndefault = true\n',
        # npm audit asks the registry for today's advisories, which is no part of a build.
        "npm": f"registry={public['npm']}/\nproxy={url}\naudit=false\nupdate-notifier=false\n",
        "maven": _MAVEN_SETTINGS.format(url=public["maven"], host=host, port=port),
        "cargo": '[source.crates-io]\nreplace-with = "depot"\n[source.depot]\n'
        f'registry = "sparse+{public["cargo"]}/"\n[http]\nproxy = "{url}"\n',
    }
    if upstreams.go:  # go.sum still checks every module
        texts["go"] = f"GOPROXY={','.join(through(url, proxy) for proxy in upstreams.go)}\nGOSUMDB=off\n"
    return {_secret(name): text.encode() for name, text in texts.items()}


def secrets_for(step: RunStep, secrets: Collection[str]) -> dict[str, str]:
    """Path → secret id, for each tool that a step calls and that `secrets` (ids) has a file for."""
    return {
        target: _secret(name)
        for name, target in targets(step).items()
        if _secret(name) in secrets and target not in step.mounted
    }


def targets(step: RunStep) -> dict[str, str]:
    """Tool → where its file goes, for the tools a step calls."""
    called, env = tools(command(step)), step.env
    user = step.user.partition(":")[0]
    user = "" if user in _ROOT else user
    # "" if the plan does not say, because the user is known by number only
    home = env.get("HOME") or ("/root" if not user else "" if user.isdigit() else f"/home/{user}")
    found = {"apt": APT} if "apt" in called else {}
    if called & {"pip", "unknown"}:
        found["pip"] = PIP
    if "uv" in called:
        found["uv"] = UV
    if called & {"npm", "unknown"} and home:
        found["npm"] = f"{home}/.npmrc"
    if "go" in called and home:
        found["go"] = env.get("GOENV") or f"{env.get('XDG_CONFIG_HOME') or home + '/.config'}/go/env"
    if "maven" in called:
        own = f"{home}/.m2"
        # A file in a cache mount would leave an empty file there; in a user's home it would leave a folder of root.
        found["maven"] = MAVEN if user or own in step.mounted else f"{own}/settings.xml"
    if "cargo" in called:
        cargo = env.get("CARGO_HOME") or ("" if user else f"{home}/.cargo")
        found["cargo"] = f"{cargo}/config.toml" if cargo else CARGO
    return found


def command(step: RunStep) -> str:
    """The commands of a step, as text in which `tools` finds its programs."""
    if step.script:
        return step.script
    shell = bool(step.args) and re.fullmatch(_PROGRAMS["unknown"], PurePosixPath(step.args[0]).name)
    if shell and "-c" in step.args:
        return "\n".join(step.args[step.args.index("-c") + 1 :])
    return " ".join(step.args)


def tools(command: str) -> set[str]:
    """Which of the tools a shell command (or the JSON form of one) calls. Quoted commands of a shell are found too. A
    word in the place of a command that only looks like a tool counts as one.
    """
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


def through(depot: str, upstream: str) -> str:
    """An upstream's address as the depot itself serves it: …/-/https/host/path."""
    return f"{depot}/-/{without_credentials(upstream).replace('://', '/', 1)}"


def _secret(tool: str) -> str:
    return f"tare-{tool}"


# "central" as id: Maven writes it beside every file it fetches, as it does without a mirror.
_MAVEN_SETTINGS = """\
<settings>
  <mirrors><mirror><id>central</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors>
  <proxies><proxy><id>depot</id><active>true</active><protocol>http</protocol><host>{host}</host><port>{port}</port></proxy></proxies>
</settings>
"""
