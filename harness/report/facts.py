"""What the facts of an environment mean, for people who have not set the machine up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# By name of the fact, and by how its value begins ("" is every other value). The other facts speak for themselves.
_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "bases": {
        "packages": "the base images were made from the packages of this distribution release, not pulled",
        "upstream": "the base images are the official ones, pulled from a registry",
    },
    "depot": {
        "on": "builds fetch packages through a caching proxy, so build times do not depend on the day's network",
        "off": "builds fetch packages from the network, so build times depend on the day's network",
    },
    "cold build": {
        "empty": "the build cache is emptied before each build of build.cold",
        "": "the build cache was not emptied; builds of build.cold do not use it",
    },
    "node": {
        "namespace": "an empty machine is an engine on this computer with a network and an empty disk of its own",
        "dind": "an empty machine is an engine in a container, with an empty disk of its own",
        "layers": "images are pulled to the run's engine, as layers that it does not have",
        "none": "nothing can be pulled",
    },
    "node engine": {"": "the engine of an empty machine, which is not the same as the run's engine"},
    "start path": {
        "namespace": "Tare asks an app at the address of its container",
        "relay": "a program beside the app asks it, and passes the answer on through the engine",
    },
    "page cache": {
        "dropped": "before each cold start the kernel forgets the files that it has read",
        "": "a cold start may find files in memory",
    },
    "gunzip": {"": "what the engine unpacks layers with"},
    "unpigz": {
        "yes": "the engine unpacks layers with the program unpigz",
        "no": "the engine unpacks layers with its own, slower code, because there is no program unpigz;"
        " large images take longer to pull than on an engine with unpigz, and ratios to a large image may be larger",
    },
    "link": {"": "the bandwidth of the few real pulls that check the computed pulls of the probe link"},
}


_TITLES = {"node": "empty machine", "node engine": "engine of the empty machine", "depot": "package proxy"}


def plain(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts that speak for themselves: processor, kernel, engine …"""
    return {name: value for name, value in facts.items() if name not in _MEANINGS}


def explained(facts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The other facts by name: the value, and what it means ("" if the value is not known here)."""
    return {name: (value, _meaning(name, value)) for name, value in facts.items() if name in _MEANINGS}


def title(name: str) -> str:
    """The title of a fact. It names the fact too if that is another word, because settings use the name."""
    return f"{_TITLES[name]} (stored as {name})" if name in _TITLES else name


def _meaning(name: str, value: str) -> str:
    known = _MEANINGS[name]
    return next((text for start, text in known.items() if start and value.startswith(start)), known.get("", ""))
