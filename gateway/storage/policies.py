"""Write the rights of the gateway's three store keys as S3 policies.

Clients see the ids of the signing key and the download key in every URL. A store may let them use more of those keys'
rights than a signature covers (MinIO, CVE-2026-41145), so each key has only the right that its URLs need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.storage.sigv4 import Credentials

KeyName = Literal["gateway", "signing", "download"]
KEY_NAMES: tuple[KeyName, ...] = ("gateway", "signing", "download")

BUCKET_ACTIONS = (
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
)
CORS_ACTIONS = ("s3:GetBucketCORS", "s3:PutBucketCORS")
OBJECT_ACTIONS: Mapping[KeyName, tuple[str, ...]] = {
    "gateway": (
        "s3:PutObject",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ),
    "signing": ("s3:PutObject",),
    "download": ("s3:GetObject", "s3:GetObjectVersion"),
}

Policy = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """Hold the three keys: the gateway's own, the one that signs uploads and the one that signs downloads."""

    gateway: Credentials
    signing: Credentials
    download: Credentials

    def of(self, name: KeyName) -> Credentials:
        """Return the key of that name."""
        return {"gateway": self.gateway, "signing": self.signing, "download": self.download}[name]


def policies(bucket: str, prefix: str, *, for_minio: bool = False) -> dict[KeyName, Policy]:
    """Return the policy of each key for one bucket and one prefix of object keys.

    MinIO lets a PUT name the version that it replaces. Its policies deny that, and the gateway never does it. MinIO
    also refuses a policy with CORS actions, because it sets CORS for the whole server.
    """
    folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    objects = f"arn:aws:s3:::{bucket}/{folder}*"
    found: dict[KeyName, Policy] = {}
    for name in KEY_NAMES:
        statements: list[Policy] = []
        if name == "gateway":
            actions = BUCKET_ACTIONS if for_minio else (*BUCKET_ACTIONS, *CORS_ACTIONS)
            statements.append(_statement("Allow", actions, f"arn:aws:s3:::{bucket}"))
        statements.append(_statement("Allow", OBJECT_ACTIONS[name], objects))
        if for_minio and name != "download":
            condition = {"StringLike": {"s3:versionid": "?*"}}
            statements.append(_statement("Deny", ("s3:PutObject",), objects) | {"Condition": condition})
        found[name] = {"Version": "2012-10-17", "Statement": statements}
    return found


def _statement(effect: str, actions: tuple[str, ...], resource: str) -> Policy:
    return {"Effect": effect, "Action": list(actions), "Resource": [resource]}
