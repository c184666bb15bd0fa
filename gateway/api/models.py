"""Define the request and response bodies of the API; the models have no behaviour."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.domain.policy import DEFAULT_POLICY
from gateway.domain.rejection import RejectionCode
from gateway.domain.upload import State
from gateway.uploads.sign import MAX_PARTS_A_CALL

Sha256 = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="Base64 of the SHA-256 of the part's bytes.")
]
PartNumber = Annotated[int, Field(ge=1, le=10_000, description="S3 numbers parts from 1 to 10,000.")]
MetadataName = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=1024)]


Hint = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]


class Strict(BaseModel):
    """Take JSON's own types only ("7", 7.0 and true are no sizes) and no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class CreateUpload(Strict):
    """Declare a file."""

    filename: str = Field(min_length=1, max_length=1024, examples=["interview.mp3"])
    size_bytes: int = Field(description="Exact size of the file, bytes.", examples=[73400320])
    content_type: Hint = Field(
        None, examples=["audio/mpeg"], description="A guess of the client. The bytes decide; no value is an error."
    )
    part_size_bytes: int | None = Field(None, description="Wish for a part size, 5 MiB to 5 GiB.")
    metadata: dict[MetadataName, MetadataValue] = Field(
        default_factory=dict, max_length=32, description="Kept with the upload and given back; never sent to the store."
    )
    part_checksums: Literal["sha256"] | Annotated[list[Sha256], Field(min_length=1, max_length=10_000)] | None = Field(
        None,
        description="`sha256`: every part is signed with its SHA-256 and refused by the store if its bytes differ. "
        "Or the checksums themselves, in the order of the parts.",
    )


class WantedPart(Strict):
    """Ask for the URL of a part with a checksum."""

    part_number: PartNumber
    checksum_sha256: Sha256 | None = None


class SignParts(Strict):
    """Ask for part URLs, by number or with checksums."""

    part_numbers: list[PartNumber] | None = Field(None, min_length=1, max_length=MAX_PARTS_A_CALL)
    parts: list[WantedPart] | None = Field(None, min_length=1, max_length=MAX_PARTS_A_CALL)


class ClientPart(Strict):
    """Name a part that was sent, with the ETag the store answered (quotes do not matter)."""

    part_number: PartNumber
    etag: str = Field(min_length=1, max_length=128)


class CompleteUpload(Strict):
    """Complete an upload; without `parts`, the parts in the store are used."""

    parts: list[ClientPart] | None = Field(None, min_length=1, max_length=10_000)


class CreateUploadToken(Strict):
    """Ask for an upload token."""

    expires_in_seconds: int = Field(description="Life of the token, 1 second to 7 days.", examples=[3600])
    policy: str = Field(DEFAULT_POLICY, max_length=64, description="Policy for files; `media` is audio and video.")
    max_files: int | None = Field(
        None, ge=1, le=1_000_000, description="Uploads it is good for; aborted and expired ones do not count."
    )
    max_size_bytes: int | None = Field(
        None, ge=1, le=2**53, description="Largest file, bytes; a limit beside the gateway's."
    )
    metadata: dict[MetadataName, MetadataValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Given back with every upload of this token, its events and webhooks; no client changes it.",
    )
    allowed_origins: list[Annotated[str, Field(max_length=300)]] = Field(
        default_factory=list,
        max_length=8,
        description="Origins of the pages that may use it, e.g. `https://app.example.com`. Empty: those of "
        "GATEWAY_ALLOWED_ORIGINS. For an origin that is not among those you allow pages in the store's CORS rules "
        "yourself: the gateway writes only GATEWAY_ALLOWED_ORIGINS there, and without a rule every part is refused.",
    )
    part_checksums: Literal["optional", "required"] = Field(
        "optional",
        description="`required`: each upload of this token must be created with `part_checksums`. "
        "GATEWAY_PART_CHECKSUMS may require them in any case.",
    )
    allow_download: bool = Field(False, description="Whether it may also download its own uploads once they are ready.")


class UploadToken(BaseModel):
    """The limits and the use of an upload token; the token itself is not stored."""

    token_id: UUID
    policy: str
    max_files: int | None
    max_size_bytes: int | None
    metadata: dict[str, Any]
    allowed_origins: list[str]
    file_count: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    part_checksums: Literal["optional", "required"]


class IssuedUploadToken(BaseModel):
    """A new upload token: give it to one user, and `endpoint` to Uppy."""

    token: str
    token_id: UUID
    expires_at: datetime
    endpoint: str = Field(description="Uppy's `companionEndpoint` (v6) or `endpoint` (v5); it holds the token.")


class UploadTokenPage(BaseModel):
    """A page of tokens, newest first; pass `next_cursor` as `cursor` for the next one."""

    tokens: list[UploadToken]
    next_cursor: UUID | None


class SignedPart(BaseModel):
    """A signed request: PUT the bytes of the part to `url` with exactly these `headers`."""

    part_number: int
    size_bytes: int | None
    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class SignedParts(BaseModel):
    """Signed parts, in the order asked for."""

    parts: list[SignedPart]


class StoredPart(BaseModel):
    """A part as the store holds it."""

    part_number: int
    size_bytes: int
    etag: str
    checksum_sha256: str | None


class StoredParts(BaseModel):
    """Every part the store holds, in order."""

    parts: list[StoredPart]


class Rejection(BaseModel):
    """Why the file was rejected."""

    code: str = Field(
        description="\n".join(f"- `{code}`: {code.meaning}" for code in RejectionCode),
        json_schema_extra={"enum": [code.value for code in RejectionCode]},
    )
    detail: str


class Upload(BaseModel):
    """An upload. `content_type` is the observed type of a ready upload, and before that the type of the extension."""

    upload_id: UUID
    state: State
    filename: str
    size_bytes: int | None
    content_type: str | None
    part_size_bytes: int | None
    part_count: int | None
    object_key: str
    bucket: str | None = Field(description="The bucket of `object_key`; null for a file on the gateway's own disk.")
    path: str | None = Field(None, description="Where the gateway's own disk keeps it, if it does.")
    etag: str | None
    version_id: str | None = Field(description="The version that was checked, where the bucket keeps versions.")
    metadata: dict[str, Any]
    rejection: Rejection | None
    detection: dict[str, Any] | None
    complete: bool | None = Field(None, description="false: it plays but was cut. null: its format does not tell.")
    extension_mismatch: bool | None = Field(None, description="true: the extension does not fit the bytes.")
    suggested_filename: str | None = Field(None, description="The name with the extension that fits the bytes.")
    can_download: bool = Field(
        description="Whether you may download it now: it is ready, in the store, and an upload token allows downloads."
    )
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


class StreamedUpload(BaseModel):
    """A file that the gateway received: `bucket` and `object_key` say where in the store, `path` where on its disk."""

    upload_id: UUID
    state: State
    object_key: str | None = None
    bucket: str | None = None
    path: str | None = None
    etag: str | None = None
    version_id: str | None = None
    size_bytes: int
    content_type: str | None
    filename: str


class CreatedUpload(Upload):
    """A new upload with the URLs of its first 100 parts (none where their checksums are still to come)."""

    parts: list[SignedPart]


class UploadPage(BaseModel):
    """A page of uploads, newest first; pass `next_cursor` as `cursor` for the next one."""

    uploads: list[Upload]
    next_cursor: UUID | None


class Download(BaseModel):
    """Where to GET the file, and until when."""

    url: str
    expires_at: datetime


class FileRange(Strict):
    """Send the bytes of one range of the file."""

    start: int = Field(ge=0, description="Offset of the first byte.")
    data: str = Field(max_length=360_000, description="The bytes in Base64.")


class InspectFile(Strict):
    """Ask whether a file would be accepted: its name, its size and the bytes that are known so far."""

    filename: str = Field(min_length=1, max_length=1024, examples=["interview.mp3"])
    size_bytes: int = Field(description="Exact size of the file, bytes.", examples=[73400320])
    ranges: list[FileRange] = Field(
        default_factory=list,
        max_length=24,
        description="The first 34 KiB and the last 66 KiB answer nearly every file at once. At most 256 KiB in all.",
    )


class WantedRange(BaseModel):
    """A range that the check needs."""

    start: int
    length: int


class Inspection(BaseModel):
    """The answer that an upload of the file would get, or the ranges that are missing for it. It binds nobody."""

    accepted: bool | None = Field(description="null: send the wanted ranges together with those of before.")
    rejection: Rejection | None
    content_type: str | None
    complete: bool | None
    extension_mismatch: bool | None
    suggested_filename: str | None
    detection: dict[str, Any] | None
    wanted: list[WantedRange]
