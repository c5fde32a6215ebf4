"""Files that the installation made and signed: what reports end as."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, Streamed
from sakk.api.parameters import ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import file as rules
from sakk.core.errors import ResourceMissing
from sakk.core.file import StoredFile
from sakk.store import file as store
from sakk.store.page import fetch_page

resource = Resource("files")


class FileShape(Shape):
    """A file: `signature` is by `authority`, the installation's key, over what the guide says."""

    id: str
    object: Literal["file"]
    account: str
    authority: Annotated[str, Field(description="Ed25519 public key, hexadecimal.")]
    created: Created
    expires_at: int
    filename: str
    kind: str
    livemode: Livemode
    metadata: ObjectMetadata
    purpose: Literal["report"]
    rows: int
    sha256: str
    signature: str
    size: int
    title: str | None
    type: Literal["csv", "jsonl", "beancount"]
    url: Annotated[str, Field(description="Where its bytes are, with the same key.")]


class DeletedFile(Shape):
    """What is left of a deleted file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


@resource.get("/v1/files", returns=Page[FileShape], operation="list_files")
def list_files(context: Context, query: ListParameters) -> Listing:
    """List the account's files, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.files,
        StoredFile,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    url = context.settings.public_url
    return Listing(data=[rules.public(row, public_url=url) for row in rows], has_more=has_more)


@resource.get("/v1/files/{file}", returns=FileShape, operation="retrieve_file")
def retrieve(context: Context, file: str) -> Document:
    """Retrieve a file: its name and size, and the proof of its bytes."""
    return rules.public(_found(context, file), public_url=context.settings.public_url)


@resource.get(
    "/v1/files/{file}/contents", returns=FileShape, operation="download_file", is_download=True
)
def download(context: Context, file: str) -> Streamed:
    """Download a file's bytes."""
    found = _found(context, file)
    return Streamed(
        store.chunks(context.database, found.id),
        found.size,
        f'attachment; filename="{found.name}"',
    )


@resource.delete("/v1/files/{file}", returns=DeletedFile, operation="delete_file")
def delete(context: Context, file: str) -> Document:
    """Delete a file before its time is over."""
    found = _found(context, file)
    store.delete_file(context.connection, found.id)
    return {"id": found.id, "object": "file", "deleted": True}


def _found(context: Context, identifier: str) -> StoredFile:
    found = store.find(
        context.connection, identifier, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing("No such file: {file}.", param="id", file=repr(identifier))
    return found
