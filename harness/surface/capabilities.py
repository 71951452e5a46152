"""File capabilities: what a program may do as if root had started it.

Formats: the extended attribute security.capability (include/uapi/linux/capability.h, vfs_cap_data); names and numbers
from capabilities(7).
"""

from __future__ import annotations

import struct

_TEXT = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
NAMES = tuple(_TEXT.split())


def names(attribute: bytes) -> tuple[str, ...]:
    """The permitted capabilities of an attribute, such as cap_net_raw; "unknown" if no kernel would accept it."""
    if len(attribute) < 12 or len(attribute) % 4:
        return ("unknown",)
    words = struct.unpack(f"<{len(attribute) // 4}I", attribute)
    revision = words[0] >> 24
    if (revision, len(words)) not in ((1, 3), (2, 5), (3, 6)):
        return ("unknown",)
    permitted = words[1] | (words[3] << 32 if revision > 1 else 0)
    known = tuple(f"cap_{name}" for bit, name in enumerate(NAMES) if permitted >> bit & 1)
    return known + tuple(f"cap_{bit}" for bit in range(len(NAMES), 64) if permitted >> bit & 1)
