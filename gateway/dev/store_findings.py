"""Ask a started API what its probes found in the store, to show it on the console."""

from __future__ import annotations

import http.client
import json
import time
from urllib.parse import urlsplit

PROBES_SECONDS = 20.0
"""Longest wait for the probes; they take about a second on an embedded store."""

POLL_SECONDS = 0.2


def store_findings(address: str, key: str) -> list[str]:
    """Return one line for each probe that is not `ok`; wait for the probes of the start first.

    A page origin that cannot upload is left out: `prepare_store` has named it already.
    """
    deadline = time.monotonic() + PROBES_SECONDS
    while True:
        found = _probes(address, key)
        if found:
            return [
                f"Store, {probe['name']}: {probe['found']} {probe['cure']}".strip()
                for probe in found
                if probe["status"] != "ok" and probe["name"] != "cors"
            ]
        if time.monotonic() > deadline:
            return ["Store: the probes are still running; `gateway store check` runs them again."]
        time.sleep(POLL_SECONDS)


def _probes(address: str, key: str) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {key}"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return []
    finally:
        connection.close()
    probes: list[dict[str, str]] = answer.get("store_probes") or []
    return probes
