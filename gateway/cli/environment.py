"""Read the settings for a command and report a wrong one in one line."""

from __future__ import annotations

import logging
import os
from typing import Any, NoReturn

import typer
from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.dev.beside import settings_of_running
from gateway.settings import Settings
from gateway.settings.common import environment_names
from gateway.settings.unknown import unknown_variables


def read_settings(**given: Any) -> Settings:
    """Return the settings; values in *given* take precedence over the environment.

    Prints a warning for each unknown GATEWAY_ variable. Exits with 1 and one line for an invalid setting.
    """
    try:
        settings = Settings(**given)
    except ValidationError as exc:
        fail(_sentence(exc.errors(include_input=False)[0]))
    except OSError as exc:
        fail(f"Cannot read the settings file {exc.filename}: {exc.strerror}.")
    except UnicodeDecodeError:
        fail("Cannot read the settings file .env: it is not UTF-8 text.")
    _warn_of_unknown_variables()
    return settings


def operator_settings(*, quiet: bool = False) -> Settings:
    """Return the settings for a command that looks after a running gateway.

    What the environment leaves out of database and store comes from the `gateway dev` that runs on the data folder.
    """
    # The pool logs every attempt to connect; the command prints one line when none succeeds.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    settings = read_settings()
    data_dir = settings.data_dir.resolve()
    running = settings_of_running(data_dir) or {}
    found = {name: value for name, value in running.items() if name.startswith(("database_", "s3_"))}
    taken = {name: value for name, value in found.items() if name not in settings.model_fields_set}
    if not taken:
        return settings
    if not quiet:
        typer.echo(f"Using the gateway dev that runs on {data_dir}.", err=True)
    return Settings(**taken, data_dir=data_dir)  # type: ignore[arg-type]  # pydantic parses these texts


def _sentence(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    if not error["loc"]:
        return f"The settings do not fit together: {message}."
    return f"{_variable(str(error['loc'][0]))}: {message}."


def _variable(location: str) -> str:
    """Return the variable that the operator set: a setting with two names is reported under the one in use."""
    for field, info in Settings.model_fields.items():
        names = environment_names(field, info)
        if location == field or location in names:
            return next((name for name in names if name in os.environ), names[0])
    return location


def _warn_of_unknown_variables() -> None:
    known = frozenset(name for field, info in Settings.model_fields.items() for name in environment_names(field, info))
    present = {*os.environ, *dotenv_values(".env")}
    for name, nearest in unknown_variables(present, known).items():
        advice = f" Did you mean {nearest}?" if nearest else ""
        typer.echo(f"Warning: {name} is not a setting and has no effect.{advice}", err=True)


def fail(line: str) -> NoReturn:
    """Print one line to standard error and exit with 1."""
    typer.echo(line, err=True)
    raise typer.Exit(1)
