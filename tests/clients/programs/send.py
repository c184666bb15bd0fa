"""Send a form with a Python library: `send.py LIBRARY URL KEY FILE`; `send.py LIBRARY --version` names its version."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

FIELDS = {"model": "whisper-1"}


def with_requests(url: str, key: str, file: Path) -> str:
    """Send with requests."""
    import requests

    with file.open("rb") as opened:
        answer = requests.post(
            url,
            data=FIELDS,
            files={"file": (file.name, opened, "audio/mpeg")},
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )
    return answer.text


def with_httpx(url: str, key: str, file: Path) -> str:
    """Send with httpx."""
    import httpx

    with file.open("rb") as opened:
        answer = httpx.post(
            url, data=FIELDS, files={"file": (file.name, opened)}, headers={"Authorization": f"Bearer {key}"}
        )
    return answer.text


def with_urllib3(url: str, key: str, file: Path) -> str:
    """Send with urllib3, whole in memory."""
    import urllib3

    fields = {**FIELDS, "file": (file.name, file.read_bytes(), "audio/mpeg")}
    answer = urllib3.request("POST", url, fields=fields, headers={"Authorization": f"Bearer {key}"})
    return answer.data.decode()


def with_aiohttp(url: str, key: str, file: Path) -> str:
    """Send with aiohttp."""
    import aiohttp

    async def send() -> str:
        form = aiohttp.FormData(FIELDS)
        form.add_field("file", file.read_bytes(), filename=file.name, content_type="audio/mpeg")
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
            session.post(url, data=form) as answer,
        ):
            return await answer.text()

    return asyncio.run(send())


LIBRARIES = {"requests": with_requests, "httpx": with_httpx, "urllib3": with_urllib3, "aiohttp": with_aiohttp}


if __name__ == "__main__":
    if sys.argv[2] == "--version":
        print(version(sys.argv[1]))
    else:
        print(LIBRARIES[sys.argv[1]](sys.argv[2], sys.argv[3], Path(sys.argv[4])))
