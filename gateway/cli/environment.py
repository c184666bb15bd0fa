"""Read the settings for a command and say in one line what is wrong with them."""

from __future__ import annotations

from typing import Any, NoReturn

import typer
from pydantic import ValidationError

from gateway.settings import Settings


def read_settings(**given: Any) -> Settings:
    """Return the settings, *given* over the environment; exit with 1 and one line when one cannot be used."""
    try:
        return Settings(**given)
    except ValidationError as exc:
        first = exc.errors(include_input=False)[0]
        fail(f"Setting {'.'.join(map(str, first['loc'])) or 'combination'}: {first['msg']}.")


def fail(line: str) -> NoReturn:
    """Print one line to standard error and exit with 1."""
    typer.echo(line, err=True)
    raise typer.Exit(1)
