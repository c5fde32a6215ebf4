"""Branding: how an account's pages look, and where its payers get help."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document
from sakk.api.parameters import LongText, NoParameters, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Shape
from sakk.core import branding as rules
from sakk.core.errors import ParameterInvalid
from sakk.flow import branding as flow
from sakk.store import branding as store

resource = Resource("branding")

LOGO_TEXT_MAX = rules.LOGO_BYTES_MAX * 3 // 2
Email = Annotated[str, StringConstraints(pattern=rules.EMAIL)]
Phone = Annotated[str, StringConstraints(pattern=rules.PHONE)]


class BrandingUpdate(Parameters):
    """What changes; null takes away. ``logo`` is a PNG in base64, at most 64 kB."""

    logo: Annotated[str, StringConstraints(max_length=LOGO_TEXT_MAX)] | None = None
    color: ShortText | None = None
    support_email: Email | None = None
    support_url: LongText | None = None
    support_phone: Phone | None = None
    embed_origins: Annotated[list[ShortText], Field(max_length=rules.ORIGINS_MAX)] | None = None


class BrandingShape(Shape):
    """How an account's pages look. ``embed_origins`` may show a checkout in a frame."""

    object: Literal["branding"]
    color: str | None
    embed_origins: list[str]
    logo_url: str | None
    support_email: str | None
    support_phone: str | None
    support_url: str | None
    updated: int | None


@resource.get("/v1/branding", returns=BrandingShape, operation="retrieve_branding")
def retrieve(context: Context, query: NoParameters) -> Document:
    """Retrieve the account's branding; it is shared by test and live mode."""
    found = store.find(context.connection, context.account_id)
    return rules.public(found, public_url=context.settings.public_url)


@resource.post("/v1/branding", returns=BrandingShape, operation="update_branding")
def update(context: Context, body: BrandingUpdate) -> Document:
    """Change the account's branding."""
    changes: dict[str, Any] = body.given("color", "support_email", "support_url", "support_phone")
    if "logo" in body.model_fields_set:
        changes["logo"] = None if body.logo is None else _decoded(body.logo)
    if "embed_origins" in body.model_fields_set:
        changes["origins"] = body.embed_origins
    changed = flow.change(
        context.connection,
        context.account_id,
        changes,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(changed, public_url=context.settings.public_url)


def _decoded(text: str) -> bytes:
    try:
        # The command of that name breaks its lines.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ParameterInvalid("The logo is a PNG in base64.", param="logo") from None
