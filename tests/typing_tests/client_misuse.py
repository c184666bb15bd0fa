"""Misuse the client: each line that ends in `# wrong` must be an error of every type checker. It is never run."""

from __future__ import annotations

from gateway.client import AsyncClient, Client, FileToSend, UploadState


async def pieces() -> None:
    client = Client(3)  # wrong
    client.upload(7)  # wrong
    client.upload("a.mp3", filname="b.mp3")  # wrong
    print(client.get("id").size)  # wrong
    client.get(5)  # wrong
    state: UploadState = client.get("id").filename  # wrong
    print(state)
    print(AsyncClient().get("id").state)  # wrong
    FileToSend("a.mp3", metadata={"a": 1})  # wrong
    client.upload_tokens.create("1h")  # wrong
    len(client.get("id").size_bytes)  # wrong
