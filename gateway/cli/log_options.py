"""Give the commands that write a log the options that every command has."""

from __future__ import annotations

from typing import Annotated

import typer

QuietLog = Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")]
JsonLog = Annotated[bool, typer.Option("--json", help="For scripts: the log is JSON, one object a line, in any case.")]
