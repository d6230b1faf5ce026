"""A depot in a bucket of S3, or of what speaks like it: the only place that knows boto3.

It finds its login and its endpoint as every program of AWS does: AWS_PROFILE, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, TypeVar

from ...artifacts import S3
from ...errors import ArtifactFailed
from ...ports import Lying
from .source import PIECE, Source
from .words import no_such_content, out_of_reach

T = TypeVar("T")

PART = 16 * 2**20
MOST_PARTS = 9000
"""S3 takes 10,000, so that larger files have larger parts."""

TRIES = 8


class S3Depot:
    """See `ports.Depot`. An upload that was cut off is one that S3 has kept the parts of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._bucket, _, prefix = name.removeprefix(S3).partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: Any = None

    async def _call(self, act: Callable[[Any], T]) -> T:
        """What `act` gives, called in a thread with a client of S3."""
        with self._in_words():
            return await asyncio.to_thread(lambda: act(self._connected()))

    def _connected(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            retries = {"total_max_attempts": TRIES, "mode": "standard"}
            self._client = boto3.client("s3", config=Config(retries=retries))
        return self._client

    def _place(self, digest: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + digest}

    async def _head(self, digest: str) -> Any:
        """What S3 says of an object; None if it is not there."""
        try:
            return await self._call(lambda s3: s3.head_object(**self._place(digest)))
        except FileNotFoundError:
            return None

    async def size(self, digest: str) -> int | None:
        head = await self._head(digest)
        return int(head["ContentLength"]) if head else None

    async def put(self, digest: str, file: BinaryIO) -> None:
        place = self._place(digest)
        if await self._head(digest):
            # Whoever removes what nobody names sees that it is wanted.
            again = {"MetadataDirective": "REPLACE"}
            return await self._call(lambda s3: s3.copy(place, *place.values(), ExtraArgs=again))
        source = Source(file, digest)
        if source.size <= PART:
            data = await source.read(PART + 1)
            source.check()
            await self._call(lambda s3: s3.put_object(**place, Body=data))
            return
        try:
            await self._put_parts(place, source)
        except FileNotFoundError:
            # Somebody else has completed the upload that both went on with.
            if await self._head(digest) is None:
                raise out_of_reach(self.name, "an upload was ended by somebody else") from None

    async def _put_parts(self, place: dict[str, str], source: Source) -> None:
        uploads = [one["UploadId"] for one in await self._uploads(place["Key"])]
        if uploads:
            upload = place | {"UploadId": uploads[0]}
        else:
            begun = await self._call(lambda s3: s3.create_multipart_upload(**place))
            upload = place | {"UploadId": begun["UploadId"]}
        part = max(PART, -(-source.size // MOST_PARTS))
        done = await self._call(lambda s3: _parts(s3, upload))
        done = [
            one for n, one in enumerate(done, 1) if (one["PartNumber"], one["Size"]) == (n, part)
        ]
        tags = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in done]
        await source.skip(len(tags) * part)
        while data := await source.read(part):
            tags.append(await self._put_part(upload, len(tags) + 1, data))
        try:
            source.check()
        except ArtifactFailed:
            await self._call(lambda s3: s3.abort_multipart_upload(**upload))
            raise
        whole = {"Parts": tags}
        await self._call(lambda s3: s3.complete_multipart_upload(**upload, MultipartUpload=whole))

    async def _put_part(self, upload: dict[str, str], number: int, data: bytes) -> dict[str, Any]:
        said = await self._call(lambda s3: s3.upload_part(**upload, PartNumber=number, Body=data))
        return {"PartNumber": number, "ETag": said["ETag"]}

    async def _uploads(self, key: str = "") -> list[Any]:
        """The uploads that are not completed: of one object, or all."""

        def look(s3: Any) -> list[Any]:
            pages = s3.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=key or self._prefix
            )
            found = [one for page in pages for one in page.get("Uploads", ())]
            return [one for one in found if not key or one["Key"] == key]

        return await self._call(look)

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        size = await self.size(digest)
        if size is None:
            raise no_such_content(digest, self.name)
        if start >= size:
            return
        place, rest = self._place(digest), f"bytes={start}-"
        body = (await self._call(lambda s3: s3.get_object(**place, Range=rest)))["Body"]
        try:
            while data := await self._call(lambda _: body.read(PIECE)):
                yield data
        finally:
            body.close()

    async def all(self) -> AsyncIterator[Lying]:
        def look(s3: Any) -> list[Any]:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            return [one for page in pages for one in page.get("Contents", ())]

        for one in await self._call(look):
            at, digest = one["LastModified"], one["Key"].removeprefix(self._prefix)
            yield Lying(digest, one["Size"], True, _micros(at), at.isoformat())
        for one in await self._uploads():
            upload = {"Bucket": self._bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
            parts = await self._call(partial(_parts, upload=upload))
            size, digest = (
                sum(part["Size"] for part in parts),
                one["Key"].removeprefix(self._prefix),
            )
            yield Lying(digest, size, False, _micros(one["Initiated"]), one["UploadId"])

    async def remove(self, lying: Lying) -> bool:
        place = self._place(lying.digest)
        if not lying.whole:
            upload = place | {"UploadId": lying.mark}
            await self._call(lambda s3: s3.abort_multipart_upload(**upload))
            return True
        head = await self._head(lying.digest)
        if head and head["LastModified"].isoformat() != lying.mark:
            return False
        await self._call(lambda s3: s3.delete_object(**place))
        return True

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Errors of S3 as evq's; what is not there is a FileNotFoundError."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise ArtifactFailed(
                f"artifacts in {self.name} need boto3, which is not installed",
                why=str(error),
                fix="pip install 'evq[aws]'",
            ) from error
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchUpload"):
                raise FileNotFoundError(str(error)) from error
            raise out_of_reach(self.name, str(error)) from error
        except BotoCoreError as error:
            raise out_of_reach(self.name, str(error)) from error


def _parts(s3: Any, upload: dict[str, str]) -> list[Any]:
    pages = s3.get_paginator("list_parts").paginate(**upload)
    return [part for page in pages for part in page.get("Parts", ())]


def _micros(at: Any) -> int:
    return int(at.timestamp() * 1e6)
