"""Share a fixed number of places between tenants, and a tenant's places between its upload tokens.

The limits move with the load (the "dynamic threshold" rule of shared-memory switches, Choudhury and Hahne, 1998): a
tenant may hold at most TENANT_FACTOR times the places that are still free. One tenant alone then gets three quarters,
two get three sevenths each, and however many there are, some places stay free for the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

TENANT_FACTOR = 3
"""A tenant alone gets 3 of 4 places: enough to use the machine, and a quarter stays free for others."""

TOKEN_FACTOR = 1
"""One upload token gets at most half of what its tenant may hold."""


class FairShare:
    """Count the places in use; not thread-safe. *per_tenant* and *per_token* are upper limits beside the moving ones.

    Requests with an API key have no limit within their tenant: the key's holder decides for all of its tokens.
    """

    def __init__(self, places: int, *, per_tenant: int | None = None) -> None:
        self._places = places
        self._per_tenant = places if per_tenant is None else per_tenant
        self._total = 0
        self._tenants: Counter[str] = Counter()
        self._tokens: Counter[UUID] = Counter()

    def refusal(self, tenant_id: str, token_id: UUID | None) -> str | None:
        """Return why this caller may not take another place, as a sentence for the client; None when it may.

        A tenant that holds none is never refused: whether a place is free at all is for the caller to check.
        """
        free = self._places - self._total
        held = self._tenants[tenant_id]
        if held >= self._per_tenant or (held and held + 1 > TENANT_FACTOR * (free - 1)):
            return "Your tenant has as many open here as it may have now."
        if token_id is None or not held:
            return None
        by_token = self._tokens[token_id]
        left = min(self._per_tenant, self._tenant_limit(free, held)) - held
        if by_token and by_token + 1 > TOKEN_FACTOR * (left - 1):
            return "This upload token has as many open here as it may have now."
        return None

    def _tenant_limit(self, free: int, held: int) -> int:
        """Return how many places the tenant could hold if nobody else took one."""
        return max(1, (free + held) * TENANT_FACTOR // (TENANT_FACTOR + 1))

    @contextmanager
    def held(self, tenant_id: str, token_id: UUID | None) -> Iterator[None]:
        """Hold one place while the block runs; ask `refusal` first."""
        tenants, tokens = Counter({tenant_id: 1}), Counter({token_id: 1} if token_id is not None else {})
        self._total += 1
        self._tenants += tenants
        self._tokens += tokens
        try:
            yield
        finally:
            # Subtracting a Counter drops names that reach zero: tenants that are done take no memory.
            self._total -= 1
            self._tenants -= tenants
            self._tokens -= tokens
