"""Find environment variables that look like settings but are none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

PREFIX = "GATEWAY_"

CLIENT_VARIABLES = frozenset({"GATEWAY_URL", "GATEWAY_API_KEY"})
"""Read by `gateway upload` and `gateway.client`, not by the server."""


def unknown_variables(present: Iterable[str], known: frozenset[str]) -> dict[str, str | None]:
    """Return each name in *present* that starts with GATEWAY_ and is not *known*, with the most similar known name."""
    unknown = sorted(
        name
        for name in {name.upper() for name in present}
        if name.startswith(PREFIX) and name not in known and name not in CLIENT_VARIABLES
    )
    return {name: next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), None) for name in unknown}
