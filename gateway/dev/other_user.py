"""Find a user for PostgreSQL, which refuses to run as root, and a place that this user can reach."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.dev.launch import CAN_REACH
from gateway.dev.processes import StackError, User, launch_arguments

PREFERRED_NAMES = ("nobody", "postgres", "daemon", "bin")

OPEN_FOLDERS = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - root makes a folder of its own there
"""Places for copies: first one that only root can write to."""

PROBE_SECONDS = 20


@dataclass(frozen=True)
class Placement:
    """Say under which user PostgreSQL runs, with which programs and in which folder."""

    user: User | None
    binaries: Path
    folder: Path


def place(binaries: Path, folder: Path, report: Callable[[str], None]) -> Placement:
    """Return the user, programs and folder for PostgreSQL. Where it needs copies of them, *report* gets one line.

    Raises:
        StackError: This process is root or has no entry in the list of users, and cannot run a program as another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Placement(_listed_user(binaries), binaries, folder)
    user = _unprivileged_user()
    # The second one is for a container that withholds rights: the process only appears as another user.
    candidates = (user, User(user.uid, user.gid, in_namespace=True))
    needed = [binaries / "initdb", binaries / "postgres", folder]
    usable = [candidate for candidate in candidates if candidate.in_namespace or _may_give_away(folder, candidate)]
    for candidate in usable:
        if can_reach(candidate, needed):
            return Placement(candidate, binaries, folder)
    for candidate in usable:
        if can_reach(candidate, [Path("/")]):
            return _copies(candidate, binaries, folder, report)
    raise StackError(
        "PostgreSQL refuses to run as root, and this container allows no other user (CAP_SETUID is withheld). Start "
        "the gateway as another user, or set GATEWAY_DATABASE_URL to a server of yours."
    )


def _listed_user(binaries: Path) -> User | None:
    """Return None for a user with a name; a container may run a number without one, which initdb refuses."""
    import pwd  # noqa: PLC0415 - see below

    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        user = _unprivileged_user()
        user = User(user.uid, user.gid, in_namespace=True)
        if can_reach(user, [binaries / "initdb"]):
            return user
        raise StackError(
            f"PostgreSQL needs a user with a name, and user {os.geteuid()} has none. Add it to /etc/passwd, start the "
            "gateway as another user, or set GATEWAY_DATABASE_URL to a server of yours."
        ) from None
    return None


def _unprivileged_user() -> User:
    import pwd  # noqa: PLC0415 - exists on Unix only, and this module is read on Windows to say so

    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (*PREFERRED_NAMES, *entries):
        if name in entries:
            return User(entries[name].pw_uid, entries[name].pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine has no other user. Add one (useradd --system postgres), "
        "or set GATEWAY_DATABASE_URL to a server of yours."
    )


def _may_give_away(folder: Path, user: User) -> bool:
    """Return whether this process may make another user the owner of a file (CAP_CHOWN)."""
    file = folder / ".owner-probe"
    try:
        file.touch(mode=0o600)
        os.chown(file, user.uid, user.gid)
    except PermissionError:
        return False
    finally:
        file.unlink(missing_ok=True)
    return True


def can_reach(user: User, paths: Sequence[Path]) -> bool:
    """Return whether *user*, as the launcher makes it, can enter or execute every path."""
    command = [*launch_arguments(user, signal.SIGKILL), CAN_REACH, *map(str, paths)]
    try:
        result = subprocess.run(  # noqa: S603 - the command is made here
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def copy_name(folder: Path) -> str:
    """Return the name of the folder for the copies that belong to the data in *folder*."""
    return f"upload-gateway-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def _copies(user: User, binaries: Path, folder: Path, report: Callable[[str], None]) -> Placement:
    """Copy the programs to a folder that *user* can enter, and keep the data beside them."""
    name = copy_name(folder)
    problem = "no folder to copy to"
    for parent in OPEN_FOLDERS:
        home = parent / name
        try:
            _make_own_folder(home)
            programs = _copy_programs(binaries, home)
            data = home / "postgres"
            data.mkdir(exist_ok=True)
            data.chmod(0o711)
        except OSError as error:
            problem = f"{error.strerror}: {error.filename}"
            continue
        if can_reach(user, [programs / "initdb", data]):
            report(f"PostgreSQL runs from {home}: the user it runs as cannot enter {folder}.")
            return Placement(user, programs, data)
    raise StackError(f"PostgreSQL needs a copy that another user than root can enter, and cannot get it ({problem}).")


def _make_own_folder(home: Path) -> None:
    """Make *home*, or take it from the last start; a folder that somebody else put there is refused."""
    home.mkdir(mode=0o755, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.geteuid() or home.is_symlink():
        raise PermissionError(1, "belongs to somebody else", str(home))
    home.chmod(0o755)


def _copy_programs(binaries: Path, home: Path) -> Path:
    """Copy the package that holds *binaries* and the libraries that its wheel has beside it."""
    package = binaries.parent.parent
    target = home / "programs"
    complete = target / ".complete"
    if not complete.exists() or complete.read_text() != str(package):
        shutil.rmtree(target, ignore_errors=True)
        for source in (binaries.parent, package.with_name(f"{package.name}.libs")):
            if source.exists():
                shutil.copytree(source, target / source.relative_to(package.parent), symlinks=True)
        _let_others_read(target)
        complete.write_text(str(package))
    return target / binaries.relative_to(package.parent)


def _let_others_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))
