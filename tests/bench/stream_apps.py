"""The usual ways to take a form in Python, to compare with: FastAPI's UploadFile and Starlette's form parser."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, UploadFile


def create_app(folder: Path) -> FastAPI:
    """Serve `/upload-file`, which puts the file in its place, and `/form`, which only reads it."""
    app = FastAPI()

    def copy(file: UploadFile) -> None:
        with (folder / "fastapi.tmp").open("wb") as out:
            shutil.copyfileobj(file.file, out, 1024 * 1024)
            out.flush()
            os.fsync(out.fileno())
        (folder / "fastapi.tmp").rename(folder / "fastapi.mp3")

    @app.post("/upload-file", status_code=201)
    async def upload_file(file: UploadFile) -> dict[str, int | None]:
        await asyncio.to_thread(copy, file)
        return {"size_bytes": file.size}

    @app.post("/form", status_code=201)
    async def form(request: Request) -> dict[str, int | None]:
        async with request.form() as fields:
            file = fields["file"]
            return {"size_bytes": getattr(file, "size", None)}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning")
