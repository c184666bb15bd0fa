"""Start one child of the embedded stack so that it cannot outlive its parent.

Run as a file by `processes.py`, never imported by the gateway: a hook between fork and exec may deadlock in a program
with threads, a separate small program cannot. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAP_FOWNER = 3
KEPT_CAPABILITIES = 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER
LINUX_CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000

SAME_USER = "-"
"""In place of a user id: keep the user."""

CAN_REACH = "--can-reach"
"""In place of a command: exit with 0 if the user can enter or execute every path that follows, else with 1."""


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(uid: int, gid: int) -> None:
    """Drop root for *uid* and *gid*, keeping on Linux only the right to reach files.

    PostgreSQL refuses to run as root, and another user cannot walk into a folder such as /root that holds the virtual
    environment or the data. Two capabilities are less than root and change no permission on the disk.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # initdb asks with access(2) for its programs. Linux answers without the capabilities of a process whose real
        # user is not root, unless this bit is set.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc is not None:
        _keep_capabilities(libc)


def _keep_capabilities(libc: ctypes.CDLL) -> None:
    """Drop every capability but the two that reach files, as far as this process has them; a container may not."""
    header = _CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    libc.capget(ctypes.byref(header), data)
    mask = data[0].permitted & KEPT_CAPABILITIES
    data = (_CapabilityData * 2)(_CapabilityData(mask, mask, mask), _CapabilityData(0, 0, 0))
    if libc.capset(ctypes.byref(header), data) != 0:
        # With the bit above, the change of user dropped nothing: no command may start with these rights.
        sys.exit("cannot drop the rights of root")
    for capability in (CAP_DAC_OVERRIDE, CAP_FOWNER):
        if mask & 1 << capability:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def appear_as(uid: int, gid: int) -> None:
    """Enter a user namespace in which this process has *uid* and *gid*; outside it stays the user that it is.

    A container may withhold the right to become another user. The command then sees that it is not root, and the files
    of this user still belong to it. Exits with 1 where the kernel allows no user namespace.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is None or libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit("the kernel allows no user namespace here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def die_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for *signal_number* when the parent is gone, however it went (Linux only)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # The parent ended before the request.
        sys.exit(1)


def change_user(uid: str, gid: str) -> None:
    """Change to the user that the arguments name; `~` before the id asks for a user namespace."""
    if uid.startswith("~"):
        appear_as(int(uid[1:]), int(gid))
    elif uid != SAME_USER:
        become(int(uid), int(gid))


def main(arguments: list[str]) -> None:
    """Become the command in *arguments*: parent pid, signal number, uid, gid (or `-`), command and its arguments."""
    parent, signal_number, uid, gid, *command = arguments
    # A terminal's Ctrl-C reaches its whole process group. The parent alone decides in which order children stop.
    os.setpgid(0, 0)
    change_user(uid, gid)
    # After the change of user: the kernel forgets the death signal when credentials change.
    die_with(int(parent), int(signal_number))
    if command[0] == CAN_REACH:
        sys.exit(0 if all(os.access(path, os.X_OK) for path in command[1:]) else 1)
    try:
        os.execv(command[0], command)  # noqa: S606 - replacing this process is the purpose
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
