"""Give the targets of a form the base class of `streaming-form-data` where that package is installed."""

from __future__ import annotations

__all__ = ["BaseTarget", "PlainTarget"]

from collections.abc import Callable
from typing import TYPE_CHECKING


class PlainTarget:
    """Do what `streaming_form_data.targets.BaseTarget` does, for the gateway's own parser.

    The package has no wheel for the newest Python. The gateway needs none of its code; with it installed, the targets
    also work under the package's own parser.
    """

    def __init__(self, validator: Callable[[bytes], None] | None = None) -> None:
        self.multipart_filename: str | None = None
        self.multipart_content_type: str | None = None
        self._validator = validator

    def _validate(self, chunk: bytes) -> None:
        if self._validator:
            self._validator(chunk)

    def start(self) -> None:
        """Begin a file."""
        self.on_start()

    def on_start(self) -> None:
        """Do what the target does before the first byte."""

    def data_received(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._validate(chunk)
        self.on_data_received(chunk)

    def on_data_received(self, chunk: bytes) -> None:
        """Do what the target does with the next bytes."""
        raise NotImplementedError

    def finish(self) -> None:
        """End the file."""
        self.on_finish()

    def on_finish(self) -> None:
        """Do what the target does after the last byte."""

    async def astart(self) -> None:
        """Begin a file."""
        await self.on_start_async()

    async def on_start_async(self) -> None:
        """Do what the target does before the first byte."""

    async def adata_received(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._validate(chunk)
        await self.on_data_received_async(chunk)

    async def on_data_received_async(self, chunk: bytes) -> None:
        """Do what the target does with the next bytes."""
        raise NotImplementedError

    async def afinish(self) -> None:
        """End the file."""
        await self.on_finish_async()

    async def on_finish_async(self) -> None:
        """Do what the target does after the last byte."""

    def set_multipart_filename(self, filename: str) -> None:
        """Keep the file's name, which nobody has checked."""
        self.multipart_filename = filename

    def set_multipart_content_type(self, content_type: str) -> None:
        """Keep the file's media type, which nobody has checked."""
        self.multipart_content_type = content_type


if TYPE_CHECKING:
    # As untyped as the package's own: a target only has to have the methods.
    from typing import Any as BaseTarget
else:
    try:
        from streaming_form_data.targets import BaseTarget
    except ImportError:
        BaseTarget = PlainTarget
