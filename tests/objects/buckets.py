"""Buckets of the servers, looked at from behind the proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bulklmm_dask.storage.places.base import RECORDS
from objects.proxy import Proxy


@dataclass(frozen=True)
class Bucket:
    """A bucket, by its URL for the package; looks at it count as no requests.

    Attributes
    ----------
    name : str
        Its name.
    proxy : Proxy
        What stands between it and the package.
    client : boto3 client
        A way around the proxy.
    """

    name: str
    proxy: Proxy
    client: Any

    def __truediv__(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def list(self, prefix: str = "") -> list[str]:
        """Keys of all objects that begin with something."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def read(self, key: str) -> bytes:
        """Bytes of an object."""
        found: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return found

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def clear(self) -> None:
        """Remove all objects."""
        for key in self.list():
            self.remove(key)

    def content(self, store: str) -> dict[str, bytes]:
        """All bytes of a store, by name within it; without empty records, of no process."""
        found = {key.removeprefix(f"{store}/"): self.read(key) for key in self.list(f"{store}/")}
        return {name: data for name, data in found.items() if data or not name.endswith(RECORDS)}

    def blocks_of(self, store: str, name: str = "lod") -> int:
        """Number of the blocks of a store that have been written."""
        return len(self.list(f"{store}/{name}/c/"))
