"""Name the settings of the object store."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from gateway.settings.common import SettingGroup


class StoreSettings(SettingGroup):
    """Hold the settings of the object store."""

    title: ClassVar[str] = "The store"

    s3_endpoint: str = Field("http://127.0.0.1:9000", description="Address at which the gateway calls the store.")
    s3_public_endpoint: str | None = Field(
        None, description="Address of the store in URLs for clients. Default: `GATEWAY_S3_ENDPOINT`."
    )
    s3_region: str = Field("us-east-1", description="Region in signatures.")
    s3_bucket: str = Field("uploads", description="Bucket of the uploads.")
    s3_access_key_id: str = Field("", description="Access key id for the gateway's own calls.")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of the access key.")
    s3_session_token: SecretStr | None = Field(None, description="Session token, if the credentials are temporary.")
    s3_signing_access_key_id: str | None = Field(
        None,
        description="Separate access key that signs uploads. Allow it s3:PutObject on the prefix only: every URL shows "
        "its id, and a store that obeys an unsigned x-amz-copy-source (MinIO) lets uploaders read whatever this key "
        "may read. Default: the gateway's own key.",
    )
    s3_signing_secret_access_key: SecretStr | None = Field(None, description="Secret of the signing key.")
    s3_download_access_key_id: str | None = Field(
        None,
        description="Separate access key that signs downloads. Allow it s3:GetObject and s3:GetObjectVersion on the "
        "prefix only. Default: the gateway's own key.",
    )
    s3_download_secret_access_key: SecretStr | None = Field(None, description="Secret of the download key.")
    s3_admin_access_key_id: str | None = Field(
        None,
        description="Key that may administer the store. `gateway store prepare` makes the bucket with it, and on MinIO "
        "the three keys above. Give it to no other process. Default: the gateway's own key makes the bucket.",
    )
    s3_admin_secret_access_key: SecretStr | None = Field(None, description="Secret of the administration key.")
    s3_addressing_style: Literal["path", "virtual"] = Field(
        "path", description="`path` (MinIO, SeaweedFS) or `virtual` (bucket in the host name, AWS)."
    )
    unsafe_store: Literal["refuse", "warn"] = Field(
        "refuse",
        description="Result when a probe finds that one user could read or change another user's file in the store: "
        "`refuse` uploads (503 `store_unsafe`), or `warn` in the log. `gateway store check` shows the "
        "findings.",
    )
    part_checksums: Literal["optional", "required"] = Field(
        "optional",
        description="Whether every upload must be created with `part_checksums`. They are always required on a store "
        "that keeps half a part (versitygw). Uppy's routes cannot carry checksums and then refuse.",
    )
    s3_object_key_prefix: str = Field("uploads", description="First segment of every object key.")
    s3_timeout_seconds: float = Field(
        10.0, gt=0, description="Longest wait for one answer of the store before it counts as failed, seconds."
    )
    s3_max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Attempts of one call to the store. 5xx, SlowDown, resets and timeouts are tried again.",
    )
    s3_pool_size: int = Field(64, ge=1, le=1000, description="Connections to the store from one process.")
