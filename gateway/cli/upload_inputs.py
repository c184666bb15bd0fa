"""Turn the arguments of `gateway upload` into files: paths, patterns, folders and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from gateway.client import FileToSend

STDIN = "-"


def files_of(arguments: list[str], *, name: str | None, recursive: bool) -> list[FileToSend]:
    """Return the files of the command line, each once, in order; raise BadParameter for a wrong argument.

    Each file of a folder gets the metadata `path`: its path relative to the folder's parent.
    """
    files: dict[str, FileToSend] = {}
    for argument in arguments:
        if argument == STDIN:
            if name is None:
                raise typer.BadParameter("standard input has no name: add --name", param_hint="FILE")
            files[STDIN] = FileToSend(sys.stdin.buffer)
            continue
        for path in _expand(Path(argument)):
            if path.is_dir():
                files |= {str(file): _in_folder(file, path) for file in _walk(path, recursive=recursive)}
            else:
                files[str(path)] = FileToSend(path)
    if not files:
        raise typer.BadParameter("there is no file in the folder", param_hint="FILE")
    if name is not None and len(files) > 1:
        raise typer.BadParameter("a name is for one file only", param_hint="--name")
    return [file if name is None else FileToSend(file.source, name) for file in files.values()]


def _expand(path: Path) -> list[Path]:
    """Return the path, or the paths that match it as a pattern which the shell did not expand."""
    if path.exists():
        return [path]
    matches: list[Path] = []
    if glob.has_magic(str(path)):
        # `Path.glob` takes no absolute pattern.
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - see above
    if not matches:
        raise typer.BadParameter(f"no such file: {path}", param_hint="FILE")
    return matches


def _walk(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield the files below a folder in order, without hidden files and folders; links to folders are not followed."""
    if not recursive:
        raise typer.BadParameter(f"{folder} is a folder: add -r to send its files", param_hint="FILE")
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():
                yield file


def _in_folder(file: Path, folder: Path) -> FileToSend:
    relative = Path(folder.resolve().name, file.relative_to(folder))
    return FileToSend(file, metadata={"path": relative.as_posix()})


def size_of(file: FileToSend) -> int | None:
    """Return the size of a file before it is sent, bytes; None for a pipe and for a file that cannot be read."""
    try:
        status = os.fstat(sys.stdin.fileno()) if file.source is sys.stdin.buffer else Path(str(file.source)).stat()
    except (OSError, ValueError):
        return None
    return status.st_size or None
