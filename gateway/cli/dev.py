"""Run everything on this machine: `gateway dev`."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.client_options import AsJson, Quiet, print_json
from gateway.cli.environment import fail, read_settings
from gateway.dev.choices import Choices, StoreChoice, choose, locked
from gateway.dev.processes import StackError
from gateway.dev.signals import Stopped, signals_stop
from gateway.settings import Settings

SAMPLE = Path(__file__).parents[1] / "dev" / "sample.mp3"
"""Three seconds of a tone, 6 kB, for a first upload."""

NEEDED_BYTES = 100_000_000
"""Space of an empty database and store, and of a first upload: 48 MB are in use after the first start."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def dev(
    store: Annotated[
        str, typer.Option(help="minio, seaweedfs, or auto: MinIO where there is one, else SeaweedFS.")
    ] = "auto",
    port: Annotated[int | None, typer.Option(help="Port of the API, 0 for a free one; else GATEWAY_PORT.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of all data; else GATEWAY_DATA_DIR.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole gateway on an embedded PostgreSQL and store; Ctrl-C stops it.

    GATEWAY_DATABASE_URL and GATEWAY_S3_ENDPOINT replace either with yours. Data is kept for the next start.

    With --json, standard output gets one object with address and key once everything runs.
    """
    console = Console(highlight=False, soft_wrap=True, quiet=quiet or as_json)
    given = {"port": port, "data_dir": data_dir}
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    choice = _store_choice(store)
    _reach_loopback_directly()
    try:
        with signals_stop():
            _run(settings, choice, console, as_json=as_json)
    except Stopped:
        console.print("Stopped; the data is kept.")
    except StackError as error:
        fail(str(error))
    except OSError as error:
        fail(_cannot_write(error, settings.data_dir))


def _cannot_write(error: OSError, data_dir: Path) -> str:
    reason = error.strerror or str(error)
    where = error.filename or data_dir
    advice = ""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = " Set GATEWAY_DATA_DIR to a folder that you may write to."
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = " The embedded database and store need about 100 MB."
    return f"Cannot write to {where}: {reason}.{advice}"


def _store_choice(text: str) -> StoreChoice:
    choices: tuple[StoreChoice, ...] = ("auto", "minio", "seaweedfs")
    for choice in choices:
        if choice == text:
            return choice
    return fail(f"--store is auto, minio or seaweedfs, not {text}.")


def _run(settings: Settings, store: StoreChoice, console: Console, *, as_json: bool) -> None:
    with locked(settings.data_dir.resolve()):
        choices = choose(settings, store)
        # Database, store and API take seconds to import; a wrong option is reported before that.
        from gateway.dev.stack import running

        started = f"Starting upload-gateway {version('upload-gateway')}; data in {choices.data_dir}"
        console.print(started, style="dim", markup=False)
        free = shutil.disk_usage(choices.data_dir).free
        if free < NEEDED_BYTES:
            console.print(f"  Only {free // 1_000_000} MB are free there: starts and uploads may fail.", markup=False)
        with running(choices, lambda line: console.print(f"  {line}", markup=False)) as stack:
            if as_json:
                print_json({name.lower().replace(" ", "_"): text for name, text in _facts(choices).items()})
            _introduce(choices, console)
            stack.watch()


def _introduce(choices: Choices, console: Console) -> None:
    """Print address, key and commands, one fact a line, so that programs can read them too."""
    program = _program()
    console.print("\nThe gateway is ready.", style="bold green")
    for name, value in _facts(choices).items():
        console.print(f"  {name:<8} {value}", markup=False)
    console.print("\nUpload a sample recording, or a file of yours:", style="bold")
    sample, key = shlex.quote(_from_here(SAMPLE)), shlex.quote(choices.key)
    console.print(f"  {program} upload {sample} --url {choices.address} --key {key}", markup=False)
    console.print("or step by step, beginning with:", style="bold")
    console.print(
        f"  curl -sS {choices.address}/v1/uploads -H {shlex.quote(f'Authorization: Bearer {choices.key}')} "
        """-H 'Content-Type: application/json' -d '{"filename": "talk.mp3", "size_bytes": 1048576}'""",
        markup=False,
    )
    console.print("\nCtrl-C stops everything.", style="dim")
    sys.stdout.flush()


def _facts(choices: Choices) -> dict[str, str]:
    """Return what a user needs to know of the running gateway."""
    return {
        "Address": choices.address,
        "Page": f"{choices.address}/",
        "API docs": f"{choices.address}/docs",
        "OpenAPI": f"{choices.address}/openapi.json",
        "Key": choices.key,
        "Logs": str(choices.data_dir / "logs"),
    }


def _program() -> str:
    """Name the `gateway` of this environment as the shell in this folder would."""
    program = Path(sysconfig.get_path("scripts")) / "gateway"
    if not program.exists():
        return f"{sys.executable} -m gateway"
    return shlex.quote(_from_here(program))


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _reach_loopback_directly() -> None:
    """Keep a proxy of the environment out of the way: database, store and gateway are on this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost,::1")))
