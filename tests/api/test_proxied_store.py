"""A proxy before the store that changes headers, as content networks and load balancers do."""

from __future__ import annotations

import pytest

from gateway.dev.store import StoreServer
from tests.api.conftest import Api, OpenApi, mp3_bytes
from tests.holding_proxy import HoldingProxy


@pytest.mark.parametrize("header", [None, "gzip", "br, gzip, identity;q=0"])
async def test_h16_a_proxy_may_change_accept_encoding(
    open_api: OpenApi, store_server: StoreServer, header: str | None
) -> None:
    """Every call of the gateway, and part and download URLs, work when the header is set or stripped on the way."""
    with HoldingProxy(store_server.endpoint, "none", "before", accept_encoding=header).running() as proxy:
        api: Api = await open_api(s3_endpoint=proxy.address, s3_public_endpoint=proxy.address)
        final = await api.ready(mp3_bytes())
        assert final["state"] == "ready"
        link = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download?redirect=false")
        assert (await api.store.get(link.json()["url"])).content == mp3_bytes()
        assert {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject"} <= set(proxy.seen)
