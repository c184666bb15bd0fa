"""Draw the progress of transfers on standard error: a bar for each file under way and one for all."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
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

from gateway.cli.client_options import printable, size_text
from gateway.client import Progress as TransferProgress

_NOTES: Mapping[str, str] = MappingProxyType(
    {"resuming": "comparing", "checking": "checking", "downloading": "", "starting": "", "sending": "", "done": ""}
)


class Display:
    """Show bars on a terminal; elsewhere only the lines of `say` and `say_error`."""

    def __init__(self, names: Sequence[str], sizes: Sequence[int | None], *, quiet: bool, bars: bool = True) -> None:
        self._names = [printable(name) for name in names]
        self._sizes = sizes
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._has_bars = bars and not quiet and self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._has_bars,
        )
        self._total: TaskID | None = None
        self._sent = [0] * len(names)
        self._resumed = [0] * len(names)
        self._tasks: dict[int, TaskID] = {}
        self._named: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        if len(self._names) > 1:
            total = sum(size or 0 for size in self._sizes)
            self._total = self._bars.add_task("all", total=total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str, *, out: bool = False) -> None:
        """Print a line unless quiet, on standard output if *out*, without the control characters of names."""
        if self._quiet:
            return
        clean = printable(text)
        if out and not sys.stdout.isatty():
            typer.echo(clean)
        else:
            self._bars.console.print(escape(clean))

    def say_error(self, text: str) -> None:
        """Print a line to standard error, also when quiet."""
        self._bars.console.print(escape(printable(text)))

    def resumed_bytes(self, number: int) -> int:
        """Return the bytes of file *number* that an earlier command sent."""
        return self._resumed[number]

    def show(self, number: int, progress: TransferProgress) -> None:
        """Draw the progress of file *number*, and say once where it resumed and for which address it waits."""
        if number not in self._tasks:
            self._tasks[number] = self._bars.add_task(escape(self._names[number]), total=self._sizes[number], note="")
        note = _NOTES[progress.phase]
        if progress.waiting_for is not None:
            note = f"waiting for {progress.waiting_for} (tried {progress.retries} times)"
            self._say_once(number, f"waiting for {progress.waiting_for}")
        elif progress.phase in {"sending", "downloading", "checking"} and progress.resumed_bytes:
            self._resumed[number] = progress.resumed_bytes
            self._say_once(number, f"resumed at {size_text(progress.resumed_bytes)}")
        self._bars.update(
            self._tasks[number],
            completed=progress.sent_bytes,
            total=progress.size_bytes or self._sizes[number],
            note=escape(note),
        )
        self._sent[number] = progress.sent_bytes
        if self._total is not None:
            self._bars.update(self._total, completed=sum(self._sent))

    def finish(self, number: int) -> None:
        """Remove the bar of a file that ended: its line is for the next file."""
        task = self._tasks.pop(number, None)
        if task is not None:
            self._bars.remove_task(task)

    def _say_once(self, number: int, text: str) -> None:
        """Print a line about a file, once. On a terminal a bar shows which address is waited for."""
        if (number, text) in self._named or (self._has_bars and text.startswith("waiting")):
            return
        self._named.add((number, text))
        self.say(f"{self._names[number]}: {text}")
