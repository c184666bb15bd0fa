"""Upload tokens: what a token says, and every text that is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from gateway.auth.upload_tokens import CLOCK_LEEWAY, MIN_SECRET_BYTES, Claims, TokenSigner, looks_like_token
from gateway.domain.errors import Unauthenticated
from gateway.domain.principal import Principal, TokenGrant

SECRET = "s" * MIN_SECRET_BYTES
OTHER = "o" * MIN_SECRET_BYTES
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
END = NOW + timedelta(hours=1)
TOKEN_ID = UUID(int=7)
GRANT = TokenGrant(TOKEN_ID, "media")
KEY = Principal("acme", "key7")
HEADER = {"alg": "HS256", "typ": "upload-token+jwt"}


def _signed(grant: TokenGrant = GRANT, secret: str = SECRET) -> str:
    return TokenSigner([secret]).sign(KEY, grant, NOW, END)


def _claims(text: str | None = None) -> dict[str, Any]:
    return dict(jwt.decode(text or _signed(), OctKey.import_key(SECRET), algorithms=["HS256"]).claims)


def _forged(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """Sign any claims with the true secret: another program may use the same one."""
    return jwt.encode(header or dict(HEADER), claims, OctKey.import_key(SECRET), algorithms=["HS256"])


def _read(text: str) -> Claims:
    return TokenSigner([SECRET]).read(text)


@pytest.mark.parametrize("grant", [
    GRANT,
    replace(GRANT, allow_download=True),
    replace(GRANT, allowed_origins=("https://a.test", "https://b.test")),
])  # fmt: skip
def test_what_is_signed_is_read(grant: TokenGrant) -> None:
    """Tenant, key, rights and both times come back."""
    read = _read(_signed(grant))
    assert read == Claims(Principal("acme", "key7", grant), grant, NOW, END)
    assert read.principal.token_id == TOKEN_ID


def test_a_token_holds_these_claims_and_no_others() -> None:
    """The bearer can read it; paths contain it, so that rights that are off take no room."""
    seconds = int(NOW.timestamp())
    assert _claims() == {
        "iss": "upload-gateway",
        "aud": "upload-gateway/uploads",
        "sub": "acme",
        "jti": str(TOKEN_ID),
        "key": "key7",
        "pol": "media",
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + 3600,
    }
    more = _claims(_signed(replace(GRANT, allow_download=True, allowed_origins=("https://a.test",))))
    assert (more["dl"], more["origins"]) == (True, ["https://a.test"])


@pytest.mark.parametrize(("at", "valid"), [
    (NOW - CLOCK_LEEWAY - timedelta(microseconds=1), False),
    (NOW - CLOCK_LEEWAY, True),
    (END - timedelta(microseconds=1), True),
    (END, False),
])  # fmt: skip
def test_a_token_is_valid_from_its_beginning_to_its_end(at: datetime, valid: bool) -> None:
    """Five seconds early, because clocks differ; not one microsecond late."""
    read = _read(_signed())
    if valid:
        assert read.principal_at(at) == read.principal
        return
    with pytest.raises(Unauthenticated, match=r"The upload token has expired\. Ask for a new one\."):
        read.principal_at(at)


def test_the_first_secret_signs_and_every_secret_reads() -> None:
    """So a new secret is added before the old one, which still reads until it is removed."""
    both = TokenSigner([OTHER, SECRET])
    assert both.read(_signed()).grant == GRANT
    assert TokenSigner([OTHER]).read(both.sign(KEY, GRANT, NOW, END)).grant == GRANT
    with pytest.raises(Unauthenticated):
        TokenSigner([SECRET]).read(both.sign(KEY, GRANT, NOW, END))


@pytest.mark.parametrize("secrets", [[], ["s" * (MIN_SECRET_BYTES - 1)], [SECRET, "short"]])
def test_a_weak_secret_is_refused_at_the_start(secrets: list[str]) -> None:
    """The message says how long a secret has to be; letters of several bytes count as such."""
    with pytest.raises(ValueError, match="a token secret has at least 32 bytes"):
        TokenSigner(secrets)
    TokenSigner(["ü" * 16])


@pytest.mark.parametrize("header", [
    HEADER | {"alg": "none"},
    HEADER | {"typ": "JWT"},
    {"alg": "HS256"},
    HEADER | {"kid": "1"},
    HEADER | {"jku": "https://evil.test"},
    HEADER | {"crit": ["exp"]},
])  # fmt: skip
def test_d5_only_our_own_header_is_read(header: dict[str, Any]) -> None:
    """Nothing in a token chooses how it is checked, though its signature is right."""
    import base64
    import hashlib
    import hmac
    import json

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(_claims()).encode())}"
    signature = part(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))
    with pytest.raises(Unauthenticated):
        _read(f"{signed}.{signature}")
    with pytest.raises(Unauthenticated):
        _read(f"{signed}.")


@pytest.mark.parametrize("changed", [
    {"iss": "other"},
    {"aud": "other"},
    {"jti": "no uuid"},
    {"jti": 7},
    {"origins": 7},
    {"nbf": "soon"},
    {"nbf": 1.5},
    {"nbf": True},
    {"exp": None},
    {"exp": 10**30},
    {"exp": -(10**30)},
])  # fmt: skip
def test_other_claims_under_the_same_secret_are_refused(changed: dict[str, Any]) -> None:
    """Another program's token has a right signature, and is none of ours."""
    with pytest.raises(Unauthenticated):
        _read(_forged(_claims() | changed))


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "jti", "key", "pol", "nbf", "exp"])
def test_a_token_without_one_of_its_claims_is_refused(missing: str) -> None:
    """Each is needed; the time of issue is for people."""
    claims = _claims()
    del claims[missing]
    with pytest.raises(Unauthenticated):
        _read(_forged(claims))
    claims = _claims()
    del claims["iat"]
    assert _read(_forged(claims)).grant == GRANT


@pytest.mark.parametrize("value", [False, "yes", 1, None])
def test_only_true_allows_downloads(value: object) -> None:
    """A right is never read from a value that only looks like yes."""
    assert not _read(_forged(_claims() | {"dl": value})).grant.allow_download


def test_a_token_of_the_longest_length_is_read() -> None:
    """4096 letters, of which base64 here makes 4095; a longer text is refused before anything is decoded."""
    near = (4096 - len(_signed())) * 3 // 4
    texts = [_forged(_claims() | {"x": "x" * count}) for count in range(near - 20, near + 20)]
    longest, longer = ([text for text in texts if len(text) == length] for length in (4095, 4097))
    assert _read(longest[0]).grant == GRANT
    with pytest.raises(Unauthenticated):
        _read(longer[0])


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.b.c.d", "gw_0123456789_x", "eyJ.eyJ.", "…"])
def test_text_of_another_form_is_refused(text: str) -> None:
    """Neither a shorter nor a longer row of parts, nor other letters."""
    with pytest.raises(Unauthenticated):
        _read(text)
    with pytest.raises(Unauthenticated):
        _read(_signed() + "\n")


def test_a_changed_signature_is_refused() -> None:
    """One letter is enough."""
    head, body, signature = _signed().split(".")
    other = ("B" if signature[0] == "A" else "A") + signature[1:]
    with pytest.raises(Unauthenticated):
        _read(f"{head}.{body}.{other}")


@pytest.mark.parametrize(("text", "token"), [
    ("eyJa.b.c", True), ("eyJa.b", False), ("eyJa.b.c.d", False), ("gw_a.b.c", False), ("aeyJ.b.c", False),
])  # fmt: skip
def test_a_bearer_text_is_taken_for_a_token_by_its_form(text: str, token: bool) -> None:
    """A JWT begins with the base64 of `{"` and has three parts; everything else is a key."""
    assert looks_like_token(text) is token
    assert looks_like_token(_signed())
