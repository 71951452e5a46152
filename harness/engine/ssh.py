"""An engine behind ssh://: its socket, forwarded by the ssh program, is an engine on a socket of this machine.

So everything that talks to an engine needs to know unix:// and tcp:// only. The user's own ssh does it, with the
user's configuration, keys and agent; it asks for no password, because nobody may be there to type it.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from harness.engine.endpoint import Endpoint
from harness.errors import EngineUnavailable, LabError
from harness.host.reaper import Scope

_SOCKET = "/var/run/docker.sock"  # of an engine, if the address names none
_READY = 30.0  # s
_POLL = 0.02  # s
_OPTIONS = ("BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=30")


def forwarded(endpoint: Endpoint, reaper: Scope) -> Endpoint:
    """The endpoint of the forwarded socket; any other endpoint as it is. The forwarding ends with `reaper`.

    ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET], as docker's own client takes it. Raises EngineUnavailable.
    """
    url = urlsplit(endpoint.url)
    if url.scheme != "ssh":
        return endpoint
    if not url.hostname or url.hostname.startswith("-"):
        raise EngineUnavailable("no host is named", where=endpoint.url, fix="Use ssh://[USER@]HOST[:PORT].")
    folder = reaper.short_folder()
    socket, log = folder / "docker.sock", folder / "ssh.log"
    command = ["ssh", "-nNT", *(f"-o{option}" for option in _OPTIONS), "-L", f"{socket}:{url.path or _SOCKET}"]
    command += ["-p", str(url.port)] if url.port else []
    command += ["-l", url.username] if url.username else []
    try:
        process = reaper.spawn([*command, "--", url.hostname], log=log, grace=0)
    except LabError as error:
        raise EngineUnavailable(error.what, where=endpoint.url, fix=error.fix) from error
    deadline = time.monotonic() + _READY
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise EngineUnavailable(
                f"ssh gives no connection: {said[0] if said else 'no answer'}",
                where=endpoint.url,
                fix=f"Try: ssh {url.hostname} docker version",
            )
        time.sleep(_POLL)
    return Endpoint(f"unix://{socket}", f"{endpoint.source}, {endpoint.url}".strip(", "))
