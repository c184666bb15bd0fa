"""How places are shared between tenants and tokens."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import pytest

from gateway.domain.fair_share import FairShare


def _fill(share: FairShare, stack: ExitStack, tenant: str, token: object = None) -> int:
    taken = 0
    while share.refusal(tenant, token) is None:  # type: ignore[arg-type]  # a token id or None
        stack.enter_context(share.held(tenant, token))  # type: ignore[arg-type]  # likewise
        taken += 1
        assert taken < 1000
    return taken


@pytest.mark.parametrize(("places", "expected"), [(8, [6, 1, 1]), (32, [24, 6, 1]), (100, [75, 18, 5])])
def test_j7_no_number_of_tenants_takes_all(places: int, expected: list[int]) -> None:
    """One tenant gets three quarters; each later one gets less, and there is a place for the next one."""
    share = FairShare(places)
    with ExitStack() as stack:
        assert [_fill(share, stack, tenant) for tenant in ("first", "second", "third")] == expected
        assert share.refusal("fourth", None) is None


def test_j7_two_tenants_that_grow_together_share_alike() -> None:
    """Two tenants that ask in turn each get about three sevenths, and some places stay free."""
    share = FairShare(32)
    taken = {"a": 0, "b": 0}
    with ExitStack() as stack:
        for _ in range(64):
            for tenant in taken:
                if share.refusal(tenant, None) is None:
                    stack.enter_context(share.held(tenant, None))
                    taken[tenant] += 1
    assert taken == {"a": 14, "b": 13}


def test_j7_one_token_never_takes_its_tenants_share() -> None:
    """A token gets half of what its tenant may hold; another token and the tenant's own key still get places."""
    share, greedy, other = FairShare(32), uuid4(), uuid4()
    with ExitStack() as stack:
        assert _fill(share, stack, "a", greedy) == 12
        assert _fill(share, stack, "a", other) == 6
        assert _fill(share, stack, "a", None) == 6
        assert share.refusal("b", uuid4()) is None
    assert share.refusal("a", greedy) is None, "what is given back can be taken again"
    with ExitStack() as stack:
        assert _fill(share, stack, "a", greedy) == 12


def test_j7_an_operators_limit_holds_beside_the_moving_one() -> None:
    """A set limit for each tenant is never passed, and a token gets half of that."""
    share, token = FairShare(100, per_tenant=4), uuid4()
    with ExitStack() as stack:
        assert _fill(share, stack, "a", token) == 2
        assert _fill(share, stack, "a") == 2
