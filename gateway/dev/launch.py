"""Start one child of the embedded stack so that it cannot outlive its parent.

Run as a file by `processes.py`, never imported by the gateway: a hook between fork and exec may deadlock in a program
with threads, a small program of its own cannot. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_FOWNER = 3
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(uid: int, gid: int) -> None:
    """Drop root for *uid* and *gid*, keeping on Linux only the right to reach files.

    PostgreSQL refuses to run as root, and another user cannot walk into a folder such as /root that holds the virtual
    environment or the data. Two capabilities are less than root and change no permission on the disk.
    """
    keep = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True) if keep else None
    if libc is not None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc is None:
        return
    mask = 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER
    header = _CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)(_CapabilityData(mask, mask, mask), _CapabilityData(0, 0, 0))
    # A container may withhold them. Then the start goes on without: it still works where the folders may be read.
    if libc.capset(ctypes.byref(header), data) == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_FOWNER):
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def die_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for *signal_number* when the parent is gone, however it went (Linux only)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # It went before we could ask.
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Become the command in *arguments*: parent pid, signal number, uid, gid (or `-`), command and its arguments."""
    parent, signal_number, uid, gid, *command = arguments
    # A terminal's Ctrl-C reaches its whole process group. The parent alone decides in which order children stop.
    os.setpgid(0, 0)
    if uid != "-":
        become(int(uid), int(gid))
    # After the change of user: the kernel forgets the death signal when credentials change.
    die_with(int(parent), int(signal_number))
    os.execv(command[0], command)  # noqa: S606 - replacing this process is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
