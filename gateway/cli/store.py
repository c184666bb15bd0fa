"""Prepare and check the store: `gateway store prepare|policies|check`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import aiohttp
import typer

from gateway.bootstrap import probe_targets_of, store_config_of, store_keys_of
from gateway.cli.client_options import AsJson, Quiet, print_json
from gateway.cli.environment import fail, operator_settings
from gateway.dev.prepare import prepare_store
from gateway.dev.processes import StackError
from gateway.domain.errors import GatewayError
from gateway.settings import Settings
from gateway.startup.check_store import EXPOSED
from gateway.startup.probes import probe_store
from gateway.storage.policies import policies
from gateway.storage.s3 import open_store
from gateway.storage.seaweedfs_keys import seaweedfs_identities
from gateway.storage.store_checks import ProbeResult

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def store() -> None:
    """Prepare and check the store."""


@app.command()
def prepare(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Make the bucket if it is missing and let the allowed origins use it.

    With GATEWAY_S3_ADMIN_ACCESS_KEY_ID on MinIO it also makes the three keys of the gateway and lets the bucket keep
    versions. The CORS rules of an existing bucket stay as they are. Safe to run again; ends with 1 when the store does
    not answer.
    """
    settings = operator_settings(quiet=quiet)
    try:
        prepared = asyncio.run(prepare_store(settings, embedded=False))
    except StackError as error:
        fail(str(error))
    for warning in prepared.warnings:
        typer.echo(warning, err=True)
    if as_json:
        print_json({"bucket": settings.s3_bucket, "done": prepared.done, "warnings": prepared.warnings})
        return
    for line in () if quiet else (*prepared.done, f"Bucket {settings.s3_bucket} is ready."):
        typer.echo(line)


@app.command("policies")
def print_policies(
    seaweedfs: Annotated[bool, typer.Option("--seaweedfs", help="Print SeaweedFS's configuration file.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,  # noqa: ARG001 - every command has it
) -> None:
    """Print the policies of the gateway's three keys, for stores on which `gateway store prepare` cannot create keys.

    They are one JSON document, with and without --json.
    """
    settings = operator_settings(quiet=quiet)
    bucket, prefix = settings.s3_bucket, settings.s3_object_key_prefix
    if not seaweedfs:
        typer.echo(json.dumps(policies(bucket, prefix), indent=2))
        return
    keys = store_keys_of(settings)
    if keys is None:
        fail("Set GATEWAY_S3_SIGNING_ACCESS_KEY_ID, GATEWAY_S3_DOWNLOAD_ACCESS_KEY_ID and their secrets first.")
    typer.echo(json.dumps(seaweedfs_identities(keys, bucket, prefix), indent=2))


@app.command()
def check(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Probe the store as clients use it, and print the result and remedy of each probe. With -q, print only problems.

    The probes write a few bytes below the prefix and remove them. Ends with 1 when a probe finds that files are exposed
    or the store does not answer, else with 0.
    """
    settings = operator_settings(quiet=quiet)
    try:
        results = asyncio.run(_probe(settings))
    except (GatewayError, TimeoutError) as error:
        fail(f"The store at {settings.s3_endpoint} refuses or does not answer: {error}")
    for result in results:
        if as_json:
            print_json({name: getattr(result, name) for name in ("name", "tried", "status", "found", "cure")})
        elif not (quiet and result.status == "ok"):
            typer.echo(f"{result.status:<8} {result.name:<21} {result.tried}")
            if result.status != "ok":
                typer.echo(f"         {result.line()}")
    if any(result.exposes_files for result in results):
        fail(EXPOSED)


async def _probe(settings: Settings) -> tuple[ProbeResult, ...]:
    async with open_store(store_config_of(settings)) as store, aiohttp.ClientSession() as session:
        return await probe_store(probe_targets_of(settings, store), session)
