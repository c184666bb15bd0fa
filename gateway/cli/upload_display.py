"""Draw the progress of uploads on stderr: a bar for each file under way and one for all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gateway.client import Progress as UploadProgress
from gateway.client.progress import ProgressCallback

_WORDS = {"starting": "", "resuming": "comparing with the store", "sending": "", "checking": "checking", "done": ""}


class Display:
    """Show bars while files are sent; without a terminal only the lines of `say` appear."""

    def __init__(self, files: Sequence[Path], *, quiet: bool) -> None:
        self._names = [printable(file.name) for file in files]
        self._sizes = [file.stat().st_size for file in files]
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._total: TaskID | None = None
        self._sent = [0] * len(files)
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        if len(self._names) > 1:
            self._total = self._bars.add_task("all", total=sum(self._sizes), note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str, *, out: bool = False) -> None:
        """Print a line, on stdout if *out*; control characters of file names and answers do not reach the terminal."""
        clean = printable(text)
        if out and not sys.stdout.isatty():
            typer.echo(clean)
        else:
            self._bars.console.print(escape(clean))

    def listener(self, number: int) -> ProgressCallback:
        """Return the callback that draws file *number*."""

        def show(progress: UploadProgress) -> None:
            if number not in self._tasks:
                name = escape(self._names[number])
                self._tasks[number] = self._bars.add_task(name, total=self._sizes[number], note="")
            note = _WORDS[progress.phase]
            if progress.retries and progress.phase in {"starting", "sending"}:
                note = f"{progress.retries} tried again"
            self._bars.update(self._tasks[number], completed=progress.sent_bytes, note=note)
            self._sent[number] = progress.sent_bytes
            if self._total is not None:
                self._bars.update(self._total, completed=sum(self._sent))

        return show

    def finish(self, number: int) -> None:
        """Remove the bar of a file that ended, so that its place goes to the next."""
        task = self._tasks.pop(number, None)
        if task is not None:
            self._bars.remove_task(task)


def printable(text: str) -> str:
    """Replace what would move the cursor, change colours or reverse the direction of writing."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
