"""Send files through an upload gateway from Python: `Client` and, for asyncio, `AsyncClient`."""

from gateway.client.aio.client import AsyncClient
from gateway.client.aio.reading import AsyncRemoteFile
from gateway.client.download import Download
from gateway.client.errors import (
    AlreadyUploading,
    ClientError,
    ContentMismatch,
    DestinationError,
    FileChanged,
    GatewayProblem,
    GatewayUnavailable,
    InvalidRequest,
    InvalidWebhook,
    NotAuthorised,
    NotConfigured,
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
from gateway.client.event_stream import Event
from gateway.client.flow import Retry
from gateway.client.models import (
    DownloadURL,
    Inspection,
    Rejection,
    SignedPart,
    StoredPart,
    Upload,
    UploadPage,
    UploadState,
)
from gateway.client.progress import Progress
from gateway.client.sync.client import Client
from gateway.client.sync.reading import RemoteFile
from gateway.client.token_calls import IssuedUploadToken, UploadToken, UploadTokenPage
from gateway.client.transfers import FileToSend, Outcome
from gateway.client.webhook_calls import Delivery, DeliveryPage, Webhook, WebhookSecret, WebhookTest
from gateway.client.webhook_signature import WebhookMessage, verify_webhook

__all__ = [
    "AlreadyUploading",
    "AsyncClient",
    "AsyncRemoteFile",
    "Client",
    "ClientError",
    "ContentMismatch",
    "Delivery",
    "DeliveryPage",
    "DestinationError",
    "Download",
    "DownloadURL",
    "Event",
    "FileChanged",
    "FileToSend",
    "GatewayProblem",
    "GatewayUnavailable",
    "Inspection",
    "InvalidRequest",
    "InvalidWebhook",
    "IssuedUploadToken",
    "NotAuthorised",
    "NotConfigured",
    "Outcome",
    "PartsMismatch",
    "Progress",
    "Rejection",
    "RemoteFile",
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
    "UploadState",
    "UploadToken",
    "UploadTokenPage",
    "Webhook",
    "WebhookMessage",
    "WebhookSecret",
    "WebhookTest",
    "WrongState",
    "verify_webhook",
]
