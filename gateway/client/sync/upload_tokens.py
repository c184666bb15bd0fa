# Generated from gateway/client/aio by `make sync-client`: change that file.
"""Offer the calls of `/v1/upload-tokens`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.client import token_calls
from gateway.client.flow import exchange
from gateway.client.sync.driver import Driver
from gateway.client.token_calls import IssuedUploadToken, UploadToken, UploadTokenPage, token_body

_PAGE_SIZE = 200


class UploadTokens:
    """Make, list and revoke upload tokens; these calls need an API key."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def create(
        self,
        expires_in_seconds: int,
        *,
        max_files: int | None = None,
        max_size_bytes: int | None = None,
        metadata: Mapping[str, str] | None = None,
        allowed_origins: Sequence[str] | None = None,
        policy: str | None = None,
        allow_download: bool = False,
    ) -> IssuedUploadToken:
        """Make a token for one of your users: with it, the user creates and sees own uploads and nothing else."""
        body = token_body(
            expires_in_seconds, max_files, max_size_bytes, metadata, allowed_origins, policy, allow_download
        )
        return self._driver.run(exchange(token_calls.create(body), self._driver.endpoint))

    def get(self, token_id: str) -> UploadToken:
        """Return the limits of a token and its number of files."""
        return self._driver.run(exchange(token_calls.get(token_id), self._driver.endpoint))

    def list(self, *, cursor: str | None = None, limit: int | None = None) -> UploadTokenPage:
        """Return one page of tokens, newest first; `iter_all` reads every page."""
        return self._driver.run(exchange(token_calls.list_page(cursor, limit), self._driver.endpoint))

    def iter_all(self) -> Iterator[UploadToken]:
        """Yield every token, newest first, and ask for the next page when it is needed."""
        cursor: str | None = None
        while True:
            page = self.list(cursor=cursor, limit=_PAGE_SIZE)
            for token in page.tokens:
                yield token
            cursor = page.next_cursor
            if cursor is None:
                return

    def revoke(self, token_id: str) -> None:
        """Revoke a token at once. URLs that were signed with it stay valid until they expire."""
        return self._driver.run(exchange(token_calls.revoke(token_id), self._driver.endpoint))
