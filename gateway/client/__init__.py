"""Send files through an upload gateway from Python: `Client` and, for asyncio, `AsyncClient`."""

from gateway.client.async_client import AsyncClient
from gateway.client.errors import (
    AlreadyUploading,
    ClientError,
    FileChanged,
    GatewayProblem,
    GatewayUnavailable,
    InvalidRequest,
    NotAuthorised,
    PartsMismatch,
    SourceError,
    StoreRefused,
    TooLarge,
    Unreachable,
    UploadCancelled,
    UploadExpired,
    UploadNotFound,
    WrongState,
)
from gateway.client.flow import Retry
from gateway.client.models import DownloadURL, Rejection, SignedPart, StoredPart, Upload, UploadPage
from gateway.client.progress import Progress
from gateway.client.sync_client import Client

__all__ = [
    "AlreadyUploading",
    "AsyncClient",
    "Client",
    "ClientError",
    "DownloadURL",
    "FileChanged",
    "GatewayProblem",
    "GatewayUnavailable",
    "InvalidRequest",
    "NotAuthorised",
    "PartsMismatch",
    "Progress",
    "Rejection",
    "Retry",
    "SignedPart",
    "SourceError",
    "StoreRefused",
    "StoredPart",
    "TooLarge",
    "Unreachable",
    "Upload",
    "UploadCancelled",
    "UploadExpired",
    "UploadNotFound",
    "UploadPage",
    "WrongState",
]
