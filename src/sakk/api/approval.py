"""Approvals: the operator's people decide on payouts that wait for them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, LongText, Parameters
from sakk.api.payout import PayoutShape
from sakk.api.person import Code, Hash
from sakk.api.recovery import RecoveryShape
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.api.withdrawal import WithdrawalShape
from sakk.core import approval as rules
from sakk.core import payout as payout_rules
from sakk.core import recovery as recovery_rules
from sakk.core import withdrawal as withdrawal_rules
from sakk.flow import approval as flow
from sakk.flow import recovery as recovery_flow
from sakk.flow import withdrawal as withdrawal_flow
from sakk.flow.approval_batch import approve_batch, explain_batch
from sakk.flow.explanation import explain_recovery, explain_withdrawal, explanation
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import approval as store
from sakk.store.page import fetch_page

resource = Resource("approvals")

Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class PayoutApprove(Parameters):
    """A yes, of the content whose ``digest`` the explanation shows.

    A person sends ``code``, or ``signature``: Ed25519 in hexadecimal over the explanation's
    ``message``, which the signer checks too. The operator's key without a person sends neither.
    """

    digest: Hash | None = None
    code: Code | None = None
    signature: Signature | None = None
    comment: LongText | None = None


class PayoutReject(Parameters):
    """Why it is not paid out; the merchant reads it."""

    reason: LongText | None = None


class ApprovalListParameters(ListParameters):
    """Of which payout, or of which ``subject``: a withdrawal's or recovery's id as well."""

    payout: Identifier | None = None
    subject: Identifier | None = None


class ApprovalShape(Shape):
    """One word on one payout, withdrawal or recovery, the ``subject``.

    ``by``: a person, or ``operator`` for a key without one.
    """

    id: str
    object: Literal["approval"]
    account: str | None
    subject: str
    payout: str | None
    verdict: rules.Verdict
    by: str
    key: str
    role: str
    method: rules.Method
    digest: str
    payout_batch: Annotated[
        str | None, Field(description="The batch that was approved by one word, this among it.")
    ]
    comment: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post(
    "/v1/payouts/{payout}/approve",
    returns=PayoutShape,
    operation="approve_payout",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, payout: str, body: PayoutApprove) -> Document:
    """Approve a payout that waits; with enough approvals it is signed.

    Whoever asked for it can not approve it, and nobody approves twice. One under review is decided
    by compliance, and is the policy's next.
    """
    decided = flow.approve(
        context.parts,
        payout,
        Word(context.actor, StepUp(body.code, body.signature), body.digest, body.comment),
        approval_id=context.object_id(rules.PREFIX),
        livemode=context.livemode,
    )
    return payout_rules.public(decided, operator=True)


@resource.post(
    "/v1/payouts/{payout}/reject",
    returns=PayoutShape,
    operation="reject_payout",
    operator_only=True,
    two_steps=True,
)
def reject(context: Context, payout: str, body: PayoutReject) -> Document:
    """Refuse a payout that waits or is under review; its money is available again."""
    decided = flow.reject(
        context.parts,
        payout,
        Word(context.actor, comment=body.reason),
        approval_id=context.object_id(rules.PREFIX),
        livemode=context.livemode,
    )
    return payout_rules.public(decided, operator=True)


class ExplanationShape(Shape):
    """What will be signed, in words. ``decoded``: read from the bytes of a transaction.

    Send ``digest`` with an approval, or sign ``message``. ``signed``: what the signer said of it.
    """

    object: Literal["explanation"]
    subject: str
    payout: str | None
    text: str
    warning: str | None
    decoded: bool
    signed: str | None
    awaiting_approvals: bool
    approvals: list[ApprovalShape]
    digest: str
    message: str
    livemode: Livemode


@resource.get(
    "/v1/payouts/{payout}/explanation",
    returns=ExplanationShape,
    operation="explain_payout",
    operator_only=True,
)
def explain(context: Context, payout: str) -> Document:
    """Explain what will be signed for a payout, for the person who approves it."""
    return explanation(context.connection, payout, livemode=context.livemode)


class Reject(Parameters):
    """Why it is not sent."""

    reason: LongText | None = None


@resource.post(
    "/v1/withdrawals/{withdrawal}/approve",
    returns=WithdrawalShape,
    operation="approve_withdrawal",
    operator_only=True,
    two_steps=True,
)
def approve_withdrawal(context: Context, withdrawal: str, body: PayoutApprove) -> Document:
    """Approve a withdrawal that waits; with enough approvals it is signed."""
    decided = withdrawal_flow.approve(
        context.parts,
        withdrawal,
        Word(context.actor, StepUp(body.code, body.signature), body.digest, body.comment),
        approval_id=context.object_id(rules.PREFIX),
        livemode=context.livemode,
    )
    return withdrawal_rules.public(decided)


@resource.post(
    "/v1/withdrawals/{withdrawal}/reject",
    returns=WithdrawalShape,
    operation="reject_withdrawal",
    operator_only=True,
    two_steps=True,
)
def reject_withdrawal(context: Context, withdrawal: str, body: Reject) -> Document:
    """Refuse a withdrawal that waits, for people or for its transaction; the coins stay."""
    decided = withdrawal_flow.reject(
        context.parts,
        withdrawal,
        Word(context.actor, comment=body.reason),
        approval_id=context.object_id(rules.PREFIX),
        livemode=context.livemode,
    )
    return withdrawal_rules.public(decided)


@resource.get(
    "/v1/withdrawals/{withdrawal}/explanation",
    returns=ExplanationShape,
    operation="explain_withdrawal",
    operator_only=True,
)
def explain_one_withdrawal(context: Context, withdrawal: str) -> Document:
    """Explain what will be signed for a withdrawal, for the person who approves it."""
    return explain_withdrawal(context.connection, withdrawal, livemode=context.livemode)


@resource.post(
    "/v1/recoveries/{recovery}/approve",
    returns=RecoveryShape,
    operation="approve_recovery",
    operator_only=True,
    two_steps=True,
)
def approve_recovery(context: Context, recovery: str, body: PayoutApprove) -> Document:
    """Approve a recovery that waits; with enough approvals it is signed.

    One under review is decided by compliance, and is the policy's next.
    """
    decided = recovery_flow.approve(
        context.parts,
        recovery,
        Word(context.actor, StepUp(body.code, body.signature), body.digest, body.comment),
        approval_id=context.object_id(rules.PREFIX),
        livemode=context.livemode,
    )
    return recovery_rules.public(decided)


@resource.get(
    "/v1/recoveries/{recovery}/explanation",
    returns=ExplanationShape,
    operation="explain_recovery",
    operator_only=True,
)
def explain_one_recovery(context: Context, recovery: str) -> Document:
    """Explain what will be signed for a recovery whose payer said where to."""
    return explain_recovery(context.connection, recovery, livemode=context.livemode)


class BatchApprove(Parameters):
    """The ``digest`` of the batch's explanation, and a person's one-time ``code``.

    Or ``signature``: Ed25519 in hexadecimal over the explanation's ``message``. It counts for each
    payout that was shown, and the signer checks that for itself.
    """

    digest: Hash | None = None
    code: Code | None = None
    signature: Signature | None = None
    comment: LongText | None = None


class BatchTotal(Shape):
    """What is approved in one currency."""

    currency: str
    count: int
    amount: int
    shown: str


class BatchLine(Shape):
    """One payout, in words. ``message`` is what is approved of it, as if it were alone."""

    payout: str
    line: int | None
    text: str
    message: str


class BatchExplanationShape(Shape):
    """What the caller may approve of a batch; ``waiting`` counts others' decisions too.

    Send ``digest`` with an approval, or sign ``message``: the number of the ``lines``, and the root
    of a Merkle tree (RFC 9162) whose leaves are their messages.
    """

    object: Literal["batch_explanation"]
    payout_batch: str
    text: str
    count: int
    waiting: int
    totals: list[BatchTotal]
    lines: list[BatchLine]
    digest: str
    message: str
    livemode: Livemode


class BatchApprovalShape(Shape):
    """How many approvals were given, and how many payouts may be signed by them."""

    object: Literal["batch_approval"]
    payout_batch: str
    approvals: int
    approved: int
    livemode: Livemode


@resource.get(
    "/v1/payout_batches/{payout_batch}/explanation",
    returns=BatchExplanationShape,
    operation="explain_payout_batch",
    operator_only=True,
)
def explain_all(context: Context, payout_batch: str) -> Document:
    """Say what the caller may approve of a batch: every payout in words, and their sums."""
    return explain_batch(
        context.connection, payout_batch, actor=context.actor, livemode=context.livemode
    )


@resource.post(
    "/v1/payout_batches/{payout_batch}/approve",
    returns=BatchApprovalShape,
    operation="approve_payout_batch",
    operator_only=True,
    two_steps=True,
)
def approve_all(context: Context, payout_batch: str, body: BatchApprove) -> Document:
    """Approve every payout of a batch that was shown, with one code or signature; all or none."""
    return approve_batch(
        context.parts,
        payout_batch,
        Word(context.actor, StepUp(body.code, body.signature), body.digest, body.comment),
        approval_id=lambda place: context.object_id(rules.PREFIX, place),
        livemode=context.livemode,
    )


@resource.get(
    "/v1/approvals", returns=Page[ApprovalShape], operation="list_approvals", operator_only=True
)
def list_approvals(context: Context, query: ApprovalListParameters) -> Listing:
    """List what people said of payouts, withdrawals and recoveries, newest first."""
    wanted = {query.payout, query.subject} - {None}
    filters = [store.approvals.c.subject == each for each in wanted]
    rows, has_more = fetch_page(
        context.connection,
        store.approvals,
        rules.Approval,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public_approval(row) for row in rows], has_more=has_more)
