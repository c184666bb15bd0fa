"""Write the gateway's three keys as SeaweedFS's own configuration (`weed s3 -config`, `weed mini -s3.config`)."""

from __future__ import annotations

import json
from typing import Any

from gateway.storage.policies import KEY_NAMES, StoreKeys, policies


def seaweedfs_identities(keys: StoreKeys, bucket: str, prefix: str) -> dict[str, Any]:
    """Return the configuration file's content: one identity and one policy for each key."""
    written = policies(bucket, prefix)
    identities: list[dict[str, Any]] = []
    for name in KEY_NAMES:
        key = keys.of(name)
        credentials = [{"accessKey": key.access_key_id, "secretKey": key.secret_access_key}]
        identity: dict[str, Any] = {"name": f"upload-gateway-{name}", "credentials": credentials, "policyNames": [name]}
        if name == "signing":
            # SeaweedFS 4.48 reads only this older list for POST uploads, and only policies for everything else, so
            # the prefix still holds (tests/store/test_keys.py).
            identity["actions"] = [f"Write:{bucket}"]
        identities.append(identity)
    listed = [{"name": name, "content": json.dumps(policy)} for name, policy in written.items()]
    return {"identities": identities, "policies": listed}
