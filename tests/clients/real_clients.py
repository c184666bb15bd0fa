"""The programs and libraries that send the gateway a form in tests, and how each is run.

`make clients` fetches those that a package manager has to bring, runs all and writes the table of docs/streaming.md.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 120.0
"""Time for one program: `go run` and Java compile first, on a machine with two busy cores."""

BOUNDARY = "gateway-form"


class MissingClientError(Exception):
    """The client is not installed here."""


@dataclass(frozen=True)
class Client:
    """A client of the table; *command* has URL, KEY, FILE and WORK in braces.

    *build* runs once before it. A *raw* client has no form writer and sends a form that was written into `{WORK}/form`.
    *in_ci*: a machine of continuous integration must have it.
    """

    name: str
    command: Sequence[str]
    version: Sequence[str]
    needs: Sequence[str]
    in_ci: bool = True
    build: Sequence[str] = ()
    raw: bool = False
    filename: str | None = None
    """The name that the gateway must read, where it is not that of the file."""
    refused: str | None = None
    """What the client prints where it cannot send a file: busybox wget ends a body at its first NUL byte."""
    metadata: dict[str, str] = field(default_factory=lambda: {"model": "whisper-1"})


PYTHON = (sys.executable, str(PROGRAMS / "send.py"))
ARGUMENTS = ("{URL}", "{KEY}", "{FILE}")
AUTHORIZATION = "Authorization: Bearer {KEY}"
WITH_KEY = ("--header", AUTHORIZATION)
WITH_TYPE = ("--header", f"Content-Type: multipart/form-data; boundary={BOUNDARY}")
AXIOS = str(PROGRAMS / "axios" / "send.mjs")
JARS = "build/clients/okhttp"
OKHTTP = ("java", "-cp", f"{JARS}/*", str(PROGRAMS / "okhttp" / "SendOkHttp.java"))

CLIENTS = (
    Client(
        "curl -F",
        ("curl", "-sS", "-F", "model=whisper-1", "-F", "file=@{FILE};type=audio/mpeg", "-H", AUTHORIZATION, "{URL}"),
        ("curl", "--version"),
        ["curl"],
    ),
    Client(
        "wget --post-file",
        ("wget", "-qO-", "--content-on-error", "--post-file={WORK}/form", *WITH_KEY, *WITH_TYPE, "{URL}"),
        ("wget", "--version"),
        ["wget"],
        raw=True,
    ),
    Client(
        "busybox wget",
        ("busybox", "wget", "-qO-", "--post-file", "{WORK}/form", *WITH_KEY, *WITH_TYPE, "{URL}"),
        ("busybox",),
        ["busybox"],
        in_ci=False,
        raw=True,
        refused="400 Bad Request",
    ),
    *[
        Client(f"Python {name}", (*PYTHON, name, *ARGUMENTS), (*PYTHON, name, "--version"), [])
        for name in ("requests", "httpx", "urllib3", "aiohttp")
    ],
    Client(
        "Node fetch",
        ("node", str(PROGRAMS / "send.mjs"), *ARGUMENTS),
        ("node", str(PROGRAMS / "send.mjs"), "--version"),
        ["node"],
    ),
    Client(
        "Node fetch, a Blob without a name",
        ("node", str(PROGRAMS / "send.mjs"), *ARGUMENTS, "blob"),
        ("node", str(PROGRAMS / "send.mjs"), "--version"),
        ["node"],
        filename="blob.mp3",
    ),
    Client(
        "axios with form-data",
        ("node", AXIOS, *ARGUMENTS),
        ("node", AXIOS, "--version"),
        ["node", str(PROGRAMS / "axios" / "node_modules" / "axios")],
        in_ci=False,
    ),
    Client(
        "Go mime/multipart",
        ("{WORK}/send-go", *ARGUMENTS),
        ("{WORK}/send-go", "--version"),
        ["go"],
        build=("go", "build", "-o", "{WORK}/send-go", str(PROGRAMS / "send.go")),
    ),
    Client(
        "Java HttpClient",
        ("java", str(PROGRAMS / "Send.java"), *ARGUMENTS),
        ("java", str(PROGRAMS / "Send.java"), "--version"),
        ["java"],
    ),
    Client("OkHttp", (*OKHTTP, *ARGUMENTS), (*OKHTTP, "--version"), ["java", JARS], in_ci=False),
    Client(
        ".NET HttpClient on Mono",
        ("mono", "{WORK}/Send.exe", *ARGUMENTS),
        ("mono", "--version"),
        ["mono", "mcs"],
        in_ci=False,
        build=("mcs", "-r:System.Net.Http", "-out:{WORK}/Send.exe", str(PROGRAMS / "Send.cs")),
    ),
)


def raw_form(file: Path) -> bytes:
    """Write the form for a client that only sends the bytes of a file."""
    lines = [
        f"--{BOUNDARY}",
        'Content-Disposition: form-data; name="model"',
        "",
        "whisper-1",
        f"--{BOUNDARY}",
        f'Content-Disposition: form-data; name="file"; filename="{file.name}"',
        "Content-Type: audio/mpeg",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + file.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


async def run(command: Sequence[str], **values: str) -> str:
    """Run a command with *values* in its braces and return its output; raise AssertionError when it fails."""
    arguments = [argument.format(**values) for argument in command]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Java and Mono read the file's name in the locale's encoding.
        env={**os.environ, "LC_ALL": "C.UTF-8", "GOFLAGS": "-mod=mod", "GO111MODULE": "off"},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace")


def require(client: Client) -> None:
    """Raise MissingClientError with the reason when the client cannot run here."""
    for need in client.needs:
        found = Path(need).exists() if "/" in need else shutil.which(need)
        if not found:
            raise MissingClientError(f"{client.name} needs {need}, which is not here")


async def version_of(client: Client, work: Path) -> str:
    """Return the version that the client names, in a few words."""
    first = (await run(client.version, WORK=str(work))).strip().splitlines()[0]
    words = first.replace("Mono JIT compiler version", "Mono").replace("GNU Wget", "").split("(")[0].split()
    return " ".join(word for word in words if word not in ("curl", "BusyBox", "built", "on", "linux-gnu."))[:40]
