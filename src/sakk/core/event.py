"""What can happen: the registry of event types, who may see each, and who asked to be told.

An event is written in the transaction that changes a status. It is the webhook, the timeline in
the console and the audit log. Types whose audience is the operator would tip a suspect off, or
are about the house itself: they never reach a merchant's list or endpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

# These register their own.
from sakk.core import bank_event as bank_event
from sakk.core import channel_event as channel_event
from sakk.core import checkout_event as checkout_event
from sakk.core import closed_loop_event as closed_loop_event
from sakk.core import connected_account_event as connected_account_event
from sakk.core import conversion_event as conversion_event
from sakk.core import information_event as information_event
from sakk.core import order_event as order_event
from sakk.core import rate_event as rate_event
from sakk.core import report_event as report_event
from sakk.core import settlement_event as settlement_event
from sakk.core import webhook_event as webhook_event
from sakk.core.errors import ParameterInvalid
from sakk.core.event_type import EVENT_TYPES as EVENT_TYPES
from sakk.core.event_type import Audience, register
from sakk.core.event_type import EventType as EventType

API_VERSION: Final = "2026-11-01"
EVERYTHING: Final = "*"
ENABLED_EVENTS_MAX: Final = 100

ACCOUNT_CREATED: Final = register("account", "created", "An account was opened.")
ACCOUNT_UPDATED: Final = register("account", "updated", "An account's details or policy changed.")

CUSTOMER_CREATED: Final = register("customer", "created", "A customer was created.")
CUSTOMER_UPDATED: Final = register("customer", "updated", "A customer's details changed.")
CUSTOMER_DELETED: Final = register("customer", "deleted", "A customer was deleted.")

BENEFICIARY_CREATED: Final = register(
    "beneficiary", "created", "An address was added to the address book; it waits to be usable."
)
BENEFICIARY_UPDATED: Final = register(
    "beneficiary", "updated", "A beneficiary's name, proof or travel rule data changed."
)
BENEFICIARY_DELETED: Final = register(
    "beneficiary", "deleted", "A beneficiary was taken out of the address book."
)

PARTY_CREATED: Final = register("party", "created", "A party was written down, as a draft.")
PARTY_UPDATED: Final = register(
    "party", "updated", "What is known of a party, its links or its documents changed."
)
PARTY_SUBMITTED: Final = register("party", "submitted", "A party was handed in to be decided on.")
PARTY_APPROVED: Final = register("party", "approved", "Due diligence on a party succeeded.")
PARTY_REJECTED: Final = register("party", "rejected", "A party was not accepted.")
PARTY_SUSPENDED: Final = register(
    "party", "suspended", "A party that was approved is not any more.", "operator"
)
PARTY_HIT_FOUND: Final = register(
    "party", "hit_found", "A party's name is like one on a list; a person must decide.", "operator"
)
PARTY_REVIEW_DUE: Final = register(
    "party", "review_due", "An approved party is to be looked at again.", "operator"
)

PAYMENT_INTENT_CREATED: Final = register(
    "payment_intent", "created", "A payment was requested; its deposit addresses are ready."
)
PAYMENT_INTENT_UPDATED: Final = register(
    "payment_intent", "updated", "A payment intent's metadata or description changed."
)
PAYMENT_INTENT_PROCESSING: Final = register(
    "payment_intent", "processing", "Enough was seen on the chain; it is not final yet."
)
PAYMENT_INTENT_PARTIALLY_FUNDED: Final = register(
    "payment_intent", "partially_funded", "Less than asked for arrived; the rest may follow."
)
PAYMENT_INTENT_AMOUNT_CHANGED: Final = register(
    "payment_intent", "amount_changed", "The amount received changed after the payment was made."
)
PAYMENT_INTENT_SUCCEEDED: Final = register(
    "payment_intent", "succeeded", "The payment is final and credited to the balance."
)
PAYMENT_INTENT_CANCELED: Final = register(
    "payment_intent", "canceled", "The payment intent was canceled."
)
PAYMENT_INTENT_EXPIRED: Final = register(
    "payment_intent", "expired", "The payment intent's time ran out before enough arrived."
)
PAYMENT_INTENT_REVERSED: Final = register(
    "payment_intent", "reversed", "A payment that had succeeded was undone by the chain."
)

PAYIN_SEEN: Final = register("payin", "seen", "A transfer to one of the addresses was seen.")
PAYIN_CONFIRMED: Final = register("payin", "confirmed", "The transfer is final on its network.")
PAYIN_POSTED: Final = register("payin", "posted", "The transfer is credited in the ledger.")
PAYIN_ORPHANED: Final = register(
    "payin", "orphaned", "The transfer's block left the chain before it was credited."
)
PAYIN_REVERSED: Final = register(
    "payin", "reversed", "A credited transfer left the chain; new ledger transfers took it back."
)
PAYIN_UNDER_REVIEW: Final = register(
    "payin", "under_review", "The transfer arrived and is being looked at before it is credited."
)
PAYIN_DECLINED: Final = register(
    "payin", "declined", "The transfer was not accepted, and will not be credited."
)
PAYIN_SCREENED: Final = register(
    "payin", "screened", "The transfer passed its screening.", "operator"
)
PAYIN_HELD: Final = register(
    "payin", "held", "The transfer is held; a person must decide.", "operator"
)
PAYIN_DISPUTED: Final = register(
    "payin",
    "disputed",
    "Two providers disagree about a transfer that is large enough for both to be asked.",
    "operator",
)
PAYIN_RELEASED: Final = register(
    "payin", "released", "A held transfer was released to the account.", "operator"
)
PAYIN_RETURNED: Final = register("payin", "returned", "A held transfer was sent back.", "operator")
PAYIN_SEIZED: Final = register(
    "payin", "seized", "A held transfer is kept for an authority.", "operator"
)
PAYIN_SUSPENSE: Final = register(
    "payin", "suspense", "A transfer stands in suspense until a person decides.", "operator"
)

PAYOUT_BATCH_CREATED: Final = register(
    "payout_batch", "created", "A batch of payouts was requested; each of them tells its own way."
)
PAYOUT_BATCH_CANCELED: Final = register(
    "payout_batch", "canceled", "What could be called off of a batch was."
)
PAYOUT_CREATED: Final = register("payout", "created", "A payout was requested.")
PAYOUT_APPROVED: Final = register("payout", "approved", "The payout may be signed.")
PAYOUT_SIGNED: Final = register(
    "payout", "signed", "Its transaction, or order to a bank, is certain."
)
PAYOUT_BROADCAST: Final = register("payout", "broadcast", "It was sent to a node, or to a bank.")
PAYOUT_CONFIRMED: Final = register(
    "payout", "confirmed", "The transaction, or the bank's statement, is final."
)
PAYOUT_POSTED: Final = register("payout", "posted", "The payout is settled in the ledger.")
PAYOUT_FAILED: Final = register(
    "payout", "failed", "Chain or bank say that the payout did not happen; its money is back."
)
PAYOUT_CANCELED: Final = register("payout", "canceled", "The payout was canceled before signing.")
PAYOUT_REJECTED: Final = register("payout", "rejected", "The payout was not approved.")
PAYOUT_SCREENED: Final = register(
    "payout", "screened", "The payout's destination was screened.", "operator"
)
PAYOUT_AWAITING_APPROVALS: Final = register(
    "payout", "awaiting_approvals", "The payout waits for the operator's people to approve it."
)
PAYOUT_UNKNOWN: Final = register(
    "payout", "unknown", "The outcome is not known; only the same bytes are sent again.", "operator"
)

PAYOUT_MOVED: Final = register(
    "payout",
    "moved",
    "The payout that carries a refund out changed its status; the merchant is told of the refund.",
    "operator",
)
APPROVAL_CREATED: Final = register(
    "approval", "created", "A person approved or rejected a payout.", "operator"
)
PERSON_PROPOSED: Final = register(
    "person", "proposed", "A person, a role or a key was proposed by an admin.", "operator"
)
PERSON_APPROVED: Final = register(
    "person", "approved", "Another admin approved what was proposed for a person.", "operator"
)
PERSON_UPDATED: Final = register(
    "person", "updated", "A person's second factor or public key changed.", "operator"
)
PERSON_SUSPENDED: Final = register(
    "person", "suspended", "A person may do nothing any more.", "operator"
)
POLICY_PROPOSED: Final = register(
    "policy", "proposed", "A version of the policy was proposed.", "operator"
)
POLICY_ACTIVATED: Final = register(
    "policy", "activated", "A version of the policy took effect.", "operator"
)
POLICY_REJECTED: Final = register(
    "policy", "rejected", "A proposed version of the policy was rejected.", "operator"
)

TRAVEL_RULE_REQUIRED: Final = register(
    "travel_rule", "required", "The payout waits until it is known who stands behind it."
)
TRAVEL_RULE_COMPLETED: Final = register(
    "travel_rule", "completed", "All that the Travel Rule asks of the transfer is there."
)
TRAVEL_RULE_REFUSED: Final = register(
    "travel_rule", "refused", "The other institution, or a person, refused a transfer.", "operator"
)
TRAVEL_RULE_UNANSWERED: Final = register(
    "travel_rule", "unanswered", "The other institution did not answer in time.", "operator"
)
TRAVEL_RULE_RECEIVED: Final = register(
    "travel_rule", "received", "Another institution told who sends money here.", "operator"
)
TRAVEL_RULE_REGIME_CHOSEN: Final = register(
    "travel_rule_regime", "chosen", "A Travel Rule regime was put in force.", "operator"
)
WALLET_PROOF_CREATED: Final = register(
    "wallet_proof", "created", "A test transfer was asked for, to show whose a wallet is."
)
WALLET_PROOF_PROVED: Final = register(
    "wallet_proof", "proved", "The test transfer came: the wallet is the beneficiary's."
)
WALLET_PROOF_EXPIRED: Final = register(
    "wallet_proof", "expired", "The test transfer did not come in time."
)

REFUND_CREATED: Final = register("refund", "created", "A refund was requested.")
REFUND_UPDATED: Final = register(
    "refund", "updated", "A refund's destination, transaction or metadata changed."
)
REFUND_SUCCEEDED: Final = register("refund", "succeeded", "A refund arrived and is final.")
REFUND_FAILED: Final = register("refund", "failed", "A refund failed; the hold is released.")
REFUND_CANCELED: Final = register(
    "refund", "canceled", "A refund was called off; the hold is released."
)

RECOVERY_CREATED: Final = register(
    "recovery", "created", "Coins on a deposit address were offered to their payer.", "operator"
)
RECOVERY_UPDATED: Final = register(
    "recovery", "updated", "A recovery's destination or transaction is known.", "operator"
)
RECOVERY_AWAITING_APPROVALS: Final = register(
    "recovery",
    "awaiting_approvals",
    "The policy lets a recovery wait for people's approvals.",
    "operator",
)
RECOVERY_SUCCEEDED: Final = register(
    "recovery", "succeeded", "Recovered coins arrived and are final.", "operator"
)
RECOVERY_FAILED: Final = register(
    "recovery", "failed", "A recovery failed; the coins are where they were.", "operator"
)
RECOVERY_CANCELED: Final = register(
    "recovery", "canceled", "A recovery was called off.", "operator"
)

TRANSFER_CREATED: Final = register(
    "transfer", "created", "Money was moved between two accounts in the ledger."
)
BALANCE_AVAILABLE: Final = register(
    "balance", "available", "Money became available on the account's balance."
)

OWNER_KEY_CREATED: Final = register("owner_key", "created", "A key may sign mandates.")
OWNER_KEY_REVOKED: Final = register(
    "owner_key", "revoked", "A key may sign none any more; what it signed is revoked."
)
MANDATE_CREATED: Final = register("mandate", "created", "An owner signed what an agent may spend.")
MANDATE_REVOKED: Final = register("mandate", "revoked", "An agent may spend nothing any more.")
MANDATE_SPEND_AWAITING_APPROVAL: Final = register(
    "mandate_spend", "awaiting_approval", "A spend is more than an agent may without a person."
)
MANDATE_SPEND_APPROVED: Final = register(
    "mandate_spend", "approved", "A person approved a spend; the agent may carry it out."
)
MANDATE_SPEND_REJECTED: Final = register("mandate_spend", "rejected", "A person refused a spend.")
MANDATE_SPEND_EXPIRED: Final = register(
    "mandate_spend", "expired", "Nobody decided in time, or the agent never came back."
)
MANDATE_SPEND_CREATED: Final = register("mandate_spend", "created", "An agent spent money.")
MANDATE_SPEND_RELEASED: Final = register(
    "mandate_spend", "released", "A spend that was not made went back to the budgets."
)
POOL_MOVEMENT_POSTED: Final = register("pool_movement", "posted", "Balance was parked, or back.")
REFILL_EXHAUSTED: Final = register("refill", "exhausted", "A rule can put no more into a channel.")

SWEEP_CREATED: Final = register("sweep", "created", "A collection is due.", "operator")
SWEEP_SIGNED: Final = register("sweep", "signed", "A collection is signed.", "operator")
SWEEP_BROADCAST: Final = register("sweep", "broadcast", "A collection was sent.", "operator")
SWEEP_CONFIRMED: Final = register("sweep", "confirmed", "A collection is final.", "operator")
SWEEP_POSTED: Final = register("sweep", "posted", "A collection is in the ledger.", "operator")
SWEEP_FAILED: Final = register("sweep", "failed", "A collection failed on chain.", "operator")
SWEEP_CANCELED: Final = register("sweep", "canceled", "A collection was called off.", "operator")
SWEEP_UNKNOWN: Final = register(
    "sweep", "unknown", "A collection's outcome is not known.", "operator"
)

LIST_STALE: Final = register(
    "list", "stale", "A sanctions list was not imported for a day.", "operator"
)

GAS_LOW: Final = register(
    "gas", "low", "A network's native coin for gas is running out.", "operator"
)
GAS_RESTORED: Final = register(
    "gas", "restored", "A network has enough native coin for gas again.", "operator"
)

GAS_LIMITED: Final = register(
    "gas",
    "limited",
    "A network's day's limit of gas for deposit addresses is reached; their sweeps wait.",
    "operator",
)
GAS_UNLIMITED: Final = register(
    "gas", "unlimited", "A network's day's limit of gas has room again.", "operator"
)

HUB_PROPOSED: Final = register(
    "hub",
    "proposed",
    "The cold key proposes another treasury to a hub; its delay runs.",
    "operator",
)
HUB_CANCELED: Final = register(
    "hub", "canceled", "A treasury that was proposed to a hub is not any more.", "operator"
)
HUB_CHANGED: Final = register("hub", "changed", "A hub pays to another treasury.", "operator")

FACTORY_PROPOSED: Final = register(
    "factory",
    "proposed",
    "The cold key proposes another recoverer to a factory, or a treasury to its hub.",
    "operator",
)
FACTORY_CANCELED: Final = register(
    "factory", "canceled", "What was proposed to a factory or its hub is not any more.", "operator"
)
FACTORY_CHANGED: Final = register(
    "factory",
    "changed",
    "A factory pays to another treasury, or obeys another recoverer.",
    "operator",
)

WITHDRAWAL_CREATED: Final = register(
    "withdrawal", "created", "Coins are to leave the hot treasury for a vault.", "operator"
)
WITHDRAWAL_AWAITING_APPROVALS: Final = register(
    "withdrawal",
    "awaiting_approvals",
    "The policy lets a withdrawal wait for people's approvals.",
    "operator",
)
WITHDRAWAL_POSTED: Final = register(
    "withdrawal", "posted", "A withdrawal to a vault is final and in the ledger.", "operator"
)
WITHDRAWAL_FAILED: Final = register(
    "withdrawal", "failed", "A withdrawal to a vault was refused or failed.", "operator"
)

BREACH_SEEN: Final = register(
    "breach",
    "seen",
    "Something was done in the name of one of our addresses that is not ours.",
    "operator",
)
OUTFLOW_SEEN: Final = register(
    "outflow", "seen", "Money left one of our addresses on the chain.", "operator"
)
OUTFLOW_POSTED: Final = register(
    "outflow", "posted", "Money that left our addresses is in the ledger.", "operator"
)
OUTFLOW_ORPHANED: Final = register(
    "outflow", "orphaned", "A transfer from our addresses left the chain.", "operator"
)

ADOPTION_CREATED: Final = register(
    "adoption",
    "created",
    "An operator has native coin booked that came without a transaction of its own.",
    "operator",
)
ADOPTION_POSTED: Final = register(
    "adoption", "posted", "Such native coin stands in suspense in the ledger.", "operator"
)

SCREENING_RULES_PROPOSED: Final = register(
    "screening_rules", "proposed", "A version of the screening rules was proposed.", "operator"
)
SCREENING_RULES_IN_FORCE: Final = register(
    "screening_rules", "in_force", "A version of the screening rules took effect.", "operator"
)
SCREENING_RULES_REJECTED: Final = register(
    "screening_rules", "rejected", "Proposed screening rules were rejected.", "operator"
)
SCREENING_CREATED: Final = register("screening", "created", "A transfer was judged.", "operator")
SCREENING_UPDATED: Final = register("screening", "updated", "A verdict changed.", "operator")
CASE_OPENED: Final = register(
    "case", "opened", "A compliance case was opened, or opened again by what was found.", "operator"
)
CASE_ASSIGNED: Final = register("case", "assigned", "A person took a case, or gave it.", "operator")
CASE_PROPOSED: Final = register(
    "case", "proposed", "A person proposed how a case ends; another confirms it.", "operator"
)
CASE_CLOSED: Final = register("case", "closed", "A compliance case was closed.", "operator")
CASE_OVERDUE: Final = register("case", "overdue", "A case's deadline passed.", "operator")
AUDIT_ANCHORED: Final = register(
    "audit",
    "anchored",
    "The audit log has come so far: keep this where nobody who has the database has a hand.",
    "operator",
)
LIST_IMPORTED: Final = register("list", "imported", "A screening list was imported.", "operator")

FREEZE_CREATED: Final = register(
    "freeze", "created", "Signing and sending were stopped.", "operator"
)
FREEZE_LIFTED: Final = register(
    "freeze", "lifted", "What was stopped may be signed and sent again.", "operator"
)

KEY_ROTATION_ANNOUNCED: Final = register(
    "key_rotation", "announced", "A treasury key is to be given up for another.", "operator"
)
KEY_ROTATION_MOVING: Final = register(
    "key_rotation",
    "moving",
    "The successor pays, and what the old treasury address holds moves to it.",
    "operator",
)
KEY_ROTATION_RETIRED: Final = register(
    "key_rotation", "retired", "An old treasury key is retired; its address is watched.", "operator"
)
KEY_ROTATION_ABORTED: Final = register(
    "key_rotation", "aborted", "A rotation was called off before money moved.", "operator"
)

FREEZE_LIFT_PROPOSED: Final = register(
    "freeze_lift", "proposed", "A person wants to end a freeze; another has to confirm.", "operator"
)
FREEZE_LIFT_CONFIRMED: Final = register(
    "freeze_lift", "confirmed", "Another person confirmed that a freeze ends.", "operator"
)
FREEZE_LIFT_REJECTED: Final = register(
    "freeze_lift", "rejected", "A lift that was proposed will not be.", "operator"
)

RESTORE_BEGUN: Final = register(
    "restore", "begun", "The database is older than what was done with it.", "operator"
)
RESTORE_FINISHED: Final = register(
    "restore", "finished", "A restored database is in line with the chain again.", "operator"
)

LEDGER_REFUSED: Final = register(
    "ledger", "refused", "The ledger refused a posting; a person must look.", "operator"
)
LEDGER_LAGGING: Final = register(
    "ledger", "lagging", "The projection is far behind the journal.", "operator"
)
LEDGER_BROKEN: Final = register(
    "ledger", "broken", "An invariant of the ledger does not hold.", "operator"
)
RECONCILIATION_BROKEN: Final = register(
    "reconciliation", "broken", "The ledger and a chain disagree.", "operator"
)
NETWORK_LAGGING: Final = register(
    "network", "lagging", "A network's node is silent or behind.", "operator"
)
NETWORK_RECOVERED: Final = register(
    "network", "recovered", "A network's node answers and is at the head again.", "operator"
)
NETWORK_REORGANIZED: Final = register(
    "network", "reorganized", "A network replaced blocks that had been followed.", "operator"
)
TRANSACTION_REPLACED: Final = register(
    "transaction", "replaced", "A transaction of ours was signed anew for a higher fee.", "operator"
)
TRANSACTION_FOREIGN: Final = register(
    "transaction",
    "foreign",
    "Somebody else used a nonce of ours: the key is in other hands, and its address is frozen.",
    "operator",
)
TRANSACTION_DISPUTED: Final = register(
    "transaction", "disputed", "Two providers disagree about a transaction of ours.", "operator"
)
NETWORK_FEES_ABOVE_CAP: Final = register(
    "network",
    "fees_above_cap",
    "A network asks more for gas than its cap; what would be sent waits.",
    "operator",
)
NETWORK_FEES_WITHIN_CAP: Final = register(
    "network", "fees_within_cap", "A network's fees are within its cap again.", "operator"
)


# What an operator is called for: told to the webhook endpoints of the operator's own account too.
ALARMS: Final = frozenset(
    {
        AUDIT_ANCHORED,
        BREACH_SEEN,
        FREEZE_CREATED,
        FREEZE_LIFTED,
        GAS_LOW,
        HUB_CHANGED,
        HUB_PROPOSED,
        LEDGER_BROKEN,
        NETWORK_LAGGING,
        OUTFLOW_SEEN,
        PAYIN_DISPUTED,
        RECONCILIATION_BROKEN,
        RESTORE_BEGUN,
        TRANSACTION_DISPUTED,
        TRANSACTION_FOREIGN,
    }
)


def event_type(name: str) -> EventType:
    """Look a type up; ValueError if nobody registered it."""
    found = EVENT_TYPES.get(name)
    if found is None:
        raise ValueError(f"unknown event type {name!r}: register it in sakk.core.event")
    return found


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, as a stage or command says it.

    ``account_id`` None: about the house, the operator's alone. ``object`` is the object's public
    JSON as it stands after the change; ``previous_attributes`` the fields that changed.
    """

    account_id: str | None
    livemode: bool
    type: str
    object_id: str
    object: dict[str, Any]
    previous_attributes: dict[str, Any] | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        if event_type(self.type).audience == "merchant" and self.account_id is None:
            raise ValueError(f"{self.type} is for a merchant and needs an account_id")

    @property
    def audience(self) -> Audience:
        return EVENT_TYPES[self.type].audience


def patterns_for(type: str) -> tuple[str, str, str]:
    """The entries of ``enabled_events`` that ask for this type."""
    return EVERYTHING, f"{type.partition('.')[0]}.*", type


def wants(enabled_events: Iterable[str], type: str) -> bool:
    """Whether an endpoint with these ``enabled_events`` is told of this type."""
    if event_type(type).audience != "merchant" or type in webhook_event.ADDRESSED:
        return False
    return not set(patterns_for(type)).isdisjoint(enabled_events)


def check_enabled_events(entries: Iterable[str]) -> list[str]:
    """Validate ``enabled_events``: ``*``, ``noun.*`` or a type that merchants may see.

    Returns them without duplicates, in order; ParameterInvalid names the entry that is wrong.
    """
    merchant = [name for name in EVENT_TYPES if wants([EVERYTHING], name)]
    known = {EVERYTHING, *merchant, *(f"{EVENT_TYPES[name].noun}.*" for name in merchant)}
    chosen = list(dict.fromkeys(entries))
    if not chosen:
        raise ParameterInvalid(
            'enabled_events is empty; name at least one event type, or "*" for all of them',
            param="enabled_events",
        )
    if len(chosen) > ENABLED_EVENTS_MAX:
        raise ParameterInvalid(
            'enabled_events has more than {enabled_events_max} entries; use "*" instead',
            param="enabled_events",
            enabled_events_max=ENABLED_EVENTS_MAX,
        )
    for index, entry in enumerate(chosen):
        if entry not in known:
            raise ParameterInvalid(
                "{entry} is not an event type; see the reference of events for the list",
                param=f"enabled_events[{index}]",
                entry=repr(entry),
            )
    return chosen
