"""How a podman of our own is configured and started: apart from any other on this machine, like a dockerd of ours.

podman has no daemon of its own: `podman system service` answers its API, and a conmon watches each container. All of
them are in the process namespace of the service, so they end with it. In its mount namespace everything that podman
shares between its users is covered: its configuration, the folders of network namespaces and of CNI's results, runc's
states, and /var/tmp, where builds keep cache mounts. Its locks are files, because the whole machine shares the locks in
shared memory. Containers join a bridge of ours without any firewall rule: of CNI's plug-ins only `bridge` runs, which
sets none for a network that it does not masquerade.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from harness.engine.programs import Programs
from harness.host.network import Network

CONFIGURATION = Path("/etc/containers")
STATE = tuple(map(Path, ("/run/netns", "/run/runc", "/run/containers", "/var/lib/cni", "/var/lib/containers")))
CACHE_MOUNTS = "tmp/buildah-cache"  # below the data root: what Buildah names its folder in /var/tmp
CGROUP = "libpod_parent"  # podman makes it beside the cgroups that it is asked for, and leaves it behind
_NETWORK = "tare"

# $data is the data root, $etc the folder made by `configure`
COVER = f"""
data=$1 etc=$2; shift 2
mount --bind "$etc" {CONFIGURATION}
for state in {" ".join(map(str, STATE))}; do mount -t tmpfs -o mode=711 tare "$state"; done
"""
READY = """
mkdir -p "$data/storage" "$data/tmp"
mount --bind "$data/tmp" /var/tmp
"""


def configure(folder: Path, *, data: Path, registries: str, bridge: Network | None, programs: Programs) -> Path:
    """Write /etc/containers of a podman into `folder`/etc. Registries of the subnet `registries` need no TLS; `bridge`
    is where containers live, unless they ask for the host's network.
    """
    etc, run = folder / "etc", folder / "run"
    etc.mkdir()
    run.mkdir()
    networks = etc / "networks"
    networks.mkdir()
    assert programs.folder is not None
    shutil.copy(programs.folder / "seccomp.json", etc)
    (etc / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    hosts = ["127.0.0.1", *map(str, ip_network(registries).hosts())]
    (etc / "registries.conf").write_text(
        "".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in hosts)
    )
    (etc / "storage.conf").write_text(_toml("storage", driver="overlay", graphroot=data / "storage", runroot=run / "c"))
    (etc / "containers.conf").write_text(
        _toml("containers", seccomp_profile=etc / "seccomp.json", log_driver="k8s-file")
        + _toml(
            "engine",
            cgroup_manager="cgroupfs",
            events_logger="file",
            lock_type="file",
            runtime="runc",
            conmon_path=[programs.folder / "conmon"],
            helper_binaries_dir=[programs.folder],
            tmp_dir=run / "l",
        )
        + _toml(
            "network",
            network_backend="cni",
            cni_plugin_dirs=[programs.folder],
            network_config_dir=networks,
            **({"default_network": _NETWORK} if bridge else {}),
        )
    )
    if bridge:
        containers = ip_network(bridge.containers)
        plugin = {
            "type": "bridge",
            "bridge": bridge.bridge,
            "isGateway": False,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": str(run / "addresses"),
                "ranges": [
                    [
                        {
                            "subnet": str(bridge.subnet),
                            "rangeStart": str(containers[1]),
                            "rangeEnd": str(containers[-2]),
                            "gateway": bridge.address,
                        }
                    ]
                ],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        (networks / f"{_NETWORK}.conflist").write_text(
            json.dumps({"cniVersion": "0.4.0", "name": _NETWORK, "plugins": [plugin]})
        )
    return etc


def command(programs: Programs, socket: Path) -> list[str]:
    """Answer the API at a socket until the end."""
    return [programs.find("podman") or "podman", "system", "service", "--time=0", f"unix://{socket}"]


def _toml(table: str, **settings: str | Path | Sequence[Path]) -> str:
    """Strings and lists of strings, written as JSON writes them, which TOML reads too."""

    def text(value: str | Path | Sequence[Path]) -> str:
        return json.dumps(str(value) if isinstance(value, str | Path) else [str(path) for path in value])

    return f"[{table}]\n" + "".join(f"{name} = {text(value)}\n" for name, value in settings.items())
