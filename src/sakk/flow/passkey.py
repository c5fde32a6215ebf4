"""Passkeys at work (WebAuthn level 3): options for the browser, and its answers checked.

A challenge is not kept: it is sealed by the vault with its end and what it was made for, so that
who asks for a thousand costs no row. That it was answered is kept until it ends: each is answered
once.
"""

import json
import os
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from sakk.core.errors import Misconfigured, StepUpFailed, UnexpectedState
from sakk.core.passkey import (
    CHALLENGE_GOOD_FOR,
    NAME_LENGTH_MAX,
    PASSKEYS_MAX,
    PREFIX,
    Passkey,
    Purpose,
)
from sakk.core.person import Person
from sakk.core.site import Site
from sakk.flow.context import Parts
from sakk.store import passkey as store
from sakk.store import sign_in as sign_ins
from sakk.store.identity import new_id

SITE_NAME: Final = "Sakk"
RANDOM_BYTES: Final = 16
ANSWER_LENGTH_MAX: Final = 16_384
TRANSPORTS_MAX: Final = 8
# Who signs in is not known yet.
ANYBODY: Final = "anybody"


def registration_options(
    parts: Parts, site: Site, person: Person, *, purpose: Purpose, owner: str
) -> dict[str, Any]:
    """What the browser is told to make a passkey by; ``owner``: of the challenge."""
    with parts.database.read() as connection:
        own = store.of_person(connection, person.id)
    if len(own) >= PASSKEYS_MAX:
        raise UnexpectedState(
            "A person has at most {passkeys_max} passkeys: remove one first.",
            passkeys_max=PASSKEYS_MAX,
        )
    options = generate_registration_options(
        rp_id=site.name,
        rp_name=SITE_NAME,
        user_id=person.id.encode(),
        user_name=person.email,
        user_display_name=person.name,
        challenge=_challenge(parts, purpose, owner),
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each.credential_id) for each in own],
    )
    return options_to_json_dict(options)


def register(
    parts: Parts,
    connection: Connection,
    site: Site,
    person: Person,
    answer: str,
    *,
    purpose: Purpose,
    owner: str,
    name: str,
    now: datetime,
) -> Passkey:
    """Keep the passkey that a browser made; StepUpFailed for an answer that does not hold."""
    document, challenge = _read(parts, connection, answer, purpose, owner, now=now)
    verified = check_registration(site, document, challenge)
    response = document.get("response")
    transports = response.get("transports") if isinstance(response, dict) else None
    made = Passkey(
        id=new_id(PREFIX),
        person=person.id,
        livemode=person.livemode,
        name=name[:NAME_LENGTH_MAX] or SITE_NAME,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=[str(each)[:20] for each in transports or []][:TRANSPORTS_MAX],
        backed_up=verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        created=now,
    )
    if store.is_known(connection, made.credential_id):
        raise StepUpFailed("This passkey is there already.")
    store.insert(connection, made)
    return made


def check_registration(
    site: Site, document: dict[str, Any], challenge: bytes
) -> VerifiedRegistration:
    """A new passkey's answer (7.1 of the specification); StepUpFailed where it does not hold."""
    try:
        _check_own_page(document)
        return verify_registration_response(
            credential=document,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=list(site.origins),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise StepUpFailed("This passkey can not be used here. Try another device.") from error


def authentication_options(
    parts: Parts, site: Site, *, purpose: Purpose, owner: str, person: str | None = None
) -> dict[str, Any]:
    """What the browser is told to ask its passkeys by; without a person it offers all it has."""
    own: list[Passkey] = []
    if person is not None:
        with parts.database.read() as connection:
            own = store.of_person(connection, person)
    options = generate_authentication_options(
        rp_id=site.name,
        challenge=_challenge(parts, purpose, owner),
        allow_credentials=[PublicKeyCredentialDescriptor(id=each.credential_id) for each in own],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def authenticate(
    parts: Parts,
    connection: Connection,
    site: Site,
    answer: str,
    *,
    purpose: Purpose,
    owner: str,
    now: datetime,
) -> Passkey:
    """The passkey that answered, which must be in force; StepUpFailed says no more than that."""
    document, challenge = _read(parts, connection, answer, purpose, owner, now=now)
    try:
        credential_id = base64url_to_bytes(str(document["id"]))
        found = store.by_credential(connection, credential_id)
        if found is None:
            raise unknown()
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise unknown() from error
    count = check_assertion(site, document, challenge, found)
    store.change(connection, found.id, {"sign_count": count, "used_at": now})
    return found


def check_assertion(
    site: Site, document: dict[str, Any], challenge: bytes, passkey: Passkey
) -> int:
    """An answer of a passkey that is kept (7.2 of the specification): its counter now.

    StepUpFailed where it does not hold: of a device that was copied too, and of one that may be
    copied where the passkey's may not.
    """
    try:
        _check_own_page(document)
        verified = verify_authentication_response(
            credential=document,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=list(site.origins),
            credential_public_key=bytes(passkey.public_key),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise unknown() from error
    is_shared = verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE
    if is_shared != passkey.backed_up:
        raise unknown()
    return verified.new_sign_count


def _check_own_page(document: dict[str, Any]) -> None:
    """ValueError for what was answered in a frame on another site's page: ours are in none."""
    said = json.loads(base64url_to_bytes(document["response"]["clientDataJSON"]))
    if said.get("crossOrigin") or said.get("topOrigin") is not None:
        raise ValueError("answered in a frame of another origin")


def unknown() -> StepUpFailed:
    """What is said of a passkey that is none, or none any more."""
    return StepUpFailed("This passkey is not known here, or was removed.")


def _challenge(parts: Parts, purpose: Purpose, owner: str) -> bytes:
    ends = int((parts.clock() + CHALLENGE_GOOD_FOR).timestamp())
    content = os.urandom(RANDOM_BYTES) + ends.to_bytes(8, "big")
    return parts.secrets_vault().seal_bytes(content, _sealed_for(purpose, owner))


def _read(
    parts: Parts,
    connection: Connection,
    answer: str,
    purpose: Purpose,
    owner: str,
    *,
    now: datetime,
) -> tuple[dict[str, Any], bytes]:
    """An answer, and its challenge, which is ours, not over, and was not answered before."""
    try:
        if len(answer) > ANSWER_LENGTH_MAX:
            raise ValueError
        document = json.loads(answer)
        said = json.loads(base64url_to_bytes(document["response"]["clientDataJSON"]))
        challenge = base64url_to_bytes(said["challenge"])
        content = parts.secrets_vault().open_bytes(challenge, _sealed_for(purpose, owner))
        ends = datetime.fromtimestamp(int.from_bytes(content[RANDOM_BYTES:], "big"), now.tzinfo)
    except (ValueError, KeyError, TypeError, Misconfigured) as error:
        raise StepUpFailed("This is no answer to what was asked. Try again.") from error
    if ends < now or not sign_ins.answer_challenge(connection, challenge, expires_at=ends):
        raise StepUpFailed("This was answered before, or too late. Try again.")
    return document, challenge


def _sealed_for(purpose: Purpose, owner: str) -> str:
    return f"challenge\x1f{purpose}\x1f{owner}"
