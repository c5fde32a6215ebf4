"""The role ``worker``: every stage of every flow, and the sending of webhooks."""

import sys
import threading
from dataclasses import replace
from datetime import timedelta

import structlog

from sakk.core.breach import Guard
from sakk.core.sender import TreasuryRole
from sakk.flow.adoption import adoption_stage
from sakk.flow.application_fee import return_stage as application_fee_return_stage
from sakk.flow.audit import seal_stage
from sakk.flow.audit_anchor import audit_anchor_stage
from sakk.flow.bank_file import bank_stages
from sakk.flow.broadcast import broadcast_stage
from sakk.flow.capture import capture_stage
from sakk.flow.case_age import age_stage
from sakk.flow.case_outcome import follow_stage, seize_stage
from sakk.flow.channel import close_stage
from sakk.flow.channel import expire_stage as channel_expire_stage
from sakk.flow.channel import left_behind_stage as channel_fund_stage
from sakk.flow.charge_refund import left_behind_stage as charge_refund_stage
from sakk.flow.clone import clone_look_stage
from sakk.flow.clone_build import clone_build_stage
from sakk.flow.clone_recover import clone_recover_stage
from sakk.flow.collect import collect_stage
from sakk.flow.collect_build import collect_build_stage
from sakk.flow.confirm import confirm_stage
from sakk.flow.context import Parts
from sakk.flow.conversion import left_behind_stage as conversion_stage
from sakk.flow.decide import decide_stage
from sakk.flow.dispute import follow_stage as charge_refund_follow_stage
from sakk.flow.dispute import left_behind_stage as dispute_stage
from sakk.flow.escrow_call import call_build_stage
from sakk.flow.escrow_refund import refund_stage as escrow_refund_stage
from sakk.flow.expire import expire_stage
from sakk.flow.fill import fill_stage
from sakk.flow.finality import compare_stage, finality_stage
from sakk.flow.follow import refund_stages
from sakk.flow.forget import forget_stage
from sakk.flow.freeze import freeze_stage
from sakk.flow.gas import gas_stage
from sakk.flow.gift_card import left_behind_stage as gift_card_left_behind_stage
from sakk.flow.gift_card_batch import left_behind_stage as gift_card_batch_stage
from sakk.flow.gift_card_breakage import lapse_stage
from sakk.flow.hold import hold_stage, release_stage
from sakk.flow.hub import hub_stage
from sakk.flow.ledger_break import correct_stage
from sakk.flow.lookout import Lookout
from sakk.flow.mandate_life import revoke_stage
from sakk.flow.mandate_spend import expire_stage as spend_expire_stage
from sakk.flow.mandate_spend import left_behind_stage as spend_left_behind_stage
from sakk.flow.match import match_stage
from sakk.flow.money_request import expire_stage as money_request_expire_stage
from sakk.flow.notify import Notifier
from sakk.flow.order import order_stages
from sakk.flow.outflow import outflow_reverse_stage, outflow_stage
from sakk.flow.party_screen import party_review_stage, party_screen_stage
from sakk.flow.payout_build import payout_build_stage
from sakk.flow.pool import left_behind_stage as pool_left_behind_stage
from sakk.flow.post import post_stage
from sakk.flow.quote import measure_stage
from sakk.flow.rate import rate_stage
from sakk.flow.rate_fetch import Fetcher
from sakk.flow.reconciliation import reconcile_stage
from sakk.flow.recovery import recovery_follow_stage, recovery_screen_stage
from sakk.flow.redemption import look_stage, redeem_stage
from sakk.flow.refill import refill_stage
from sakk.flow.replace import replace_stage
from sakk.flow.report import report_stage
from sakk.flow.rescreen import rescreen_stage
from sakk.flow.reverse import orphan_stage, reverse_stage
from sakk.flow.rotation_build import rotation_build_stage
from sakk.flow.screen import payout_screen_stage, rejudge_stage, screen_stage
from sakk.flow.settle import settle_stage
from sakk.flow.settlement import settlement_stages
from sakk.flow.sign import sign_stage
from sakk.flow.stage import Bell, Stage, start_stages
from sakk.flow.sweep_build import sweep_build_stage
from sakk.flow.transfer import claim_stage, left_behind_stage
from sakk.flow.travel_rule import travel_rule_stage
from sakk.flow.travel_send import travel_send_stage
from sakk.flow.venue import OpenVenues
from sakk.flow.volume import volume_stage
from sakk.flow.wallet_proof import wallet_proof_stage
from sakk.flow.withdrawal import withdrawal_build_stage
from sakk.runtime.bank import banks_of
from sakk.runtime.process import report_ready
from sakk.runtime.restore import anchor_path, anchor_stage, look_before_start
from sakk.runtime.sandbox_venue import simulated_venues
from sakk.runtime.settings import Settings
from sakk.runtime.trp import trp_rail
from sakk.runtime.wiring import open_parts
from sakk.signing.protocol import SignerUnavailable
from sakk.store.address import put_seeds, put_treasury, put_wallet
from sakk.store.database import CHANNEL
from sakk.store.identity import now

log = structlog.get_logger(__name__)

SWITCH_SECONDS = 0.0005
SIGNER_RETRY_SECONDS = 0.2
DELIVERY_STAGE = "webhook_delivery"
STOP_SECONDS_MAX = 10.0


def run_worker(settings: Settings, stop: threading.Event) -> None:
    parts = open_parts(settings, screening=True, signer=True)
    parts = replace(parts, banks=banks_of(settings, parts))
    parts.screening_engine().refresh()
    enrol(parts, stop)
    # Roles that are started apart had no supervisor that looked.
    look_before_start(settings, parts.database.url)
    # Many threads that mostly wait: one that has an answer should not wait for one that computes.
    sys.setswitchinterval(SWITCH_SECONDS)
    bell = Bell(parts.database.url)
    notifier = Notifier(
        parts.database,
        allow_loopback=settings.webhook_allow_loopback,
        send_seconds_max=settings.webhook_timeout_seconds,
        lease_seconds=max(settings.lease_seconds, 2 * settings.webhook_timeout_seconds),
    )
    sender = threading.Thread(
        target=notifier.run, args=(stop, bell.event(DELIVERY_STAGE)), name=CHANNEL, daemon=True
    )
    stages = [
        *pipeline(parts, guard=settings.guard),
        travel_send_stage(parts, trp_rail(settings)),
        rate_stage(parts, Fetcher(settings.webhook_allow_loopback)),
        *order_stages(
            parts,
            OpenVenues(parts.database, parts.vault, simulated_venues(settings, parts.database)),
        ),
        seal_stage(parts),
        audit_anchor_stage(
            parts,
            directory=settings.audit_anchor_dir,
            every=timedelta(seconds=settings.audit_anchor_seconds),
        ),
        anchor_stage(parts, anchor_path(settings)),
        reconcile_stage(parts, every=timedelta(seconds=settings.reconcile_seconds)),
    ]
    lookout = Lookout(parts.database, stages, parts.clock)
    threads = start_stages(stages, bell, stop, look=lookout.look)
    sender.start()
    report_ready()
    stop.wait()
    for thread in [*threads, sender]:
        thread.join(STOP_SECONDS_MAX)
    parts.database.close()


def pipeline(parts: Parts, *, guard: Guard = Guard.off) -> list[Stage]:
    """Every stage of the worker, in the order of the flows; ``guard``: see `watch_stage`."""
    return [
        match_stage(parts),
        finality_stage(parts),
        compare_stage(parts),
        screen_stage(parts),
        rejudge_stage(parts),
        post_stage(parts),
        orphan_stage(parts),
        reverse_stage(parts),
        outflow_stage(parts),
        outflow_reverse_stage(parts),
        adoption_stage(parts),
        expire_stage(parts),
        collect_stage(parts),
        collect_build_stage(parts),
        clone_build_stage(parts),
        clone_recover_stage(parts),
        sweep_build_stage(parts),
        hold_stage(parts),
        payout_screen_stage(parts),
        wallet_proof_stage(parts),
        call_build_stage(parts),
        escrow_refund_stage(parts),
        redeem_stage(parts),
        look_stage(parts),
        travel_rule_stage(parts),
        decide_stage(parts),
        release_stage(parts),
        *refund_stages(parts),
        recovery_screen_stage(parts),
        recovery_follow_stage(parts),
        payout_build_stage(parts),
        withdrawal_build_stage(parts),
        rotation_build_stage(parts),
        gas_stage(parts),
        hub_stage(parts, guard=guard),
        clone_look_stage(parts, guard=guard),
        capture_stage(parts),
        sign_stage(parts),
        broadcast_stage(parts),
        confirm_stage(parts),
        replace_stage(parts),
        fill_stage(parts),
        settle_stage(parts),
        rescreen_stage(parts),
        seize_stage(parts),
        follow_stage(parts),
        age_stage(parts),
        party_screen_stage(parts),
        party_review_stage(parts),
        freeze_stage(parts),
        *_ledger_stages(parts),
        report_stage(parts),
        forget_stage(parts),
        volume_stage(parts),
        measure_stage(parts),
    ]


def _ledger_stages(parts: Parts) -> list[Stage]:
    """What moves money between accounts, in the ledger alone."""
    return [
        left_behind_stage(parts),
        claim_stage(parts),
        money_request_expire_stage(parts),
        application_fee_return_stage(parts),
        gift_card_left_behind_stage(parts),
        gift_card_batch_stage(parts),
        lapse_stage(parts),
        conversion_stage(parts),
        channel_fund_stage(parts),
        channel_expire_stage(parts),
        close_stage(parts),
        revoke_stage(parts),
        spend_left_behind_stage(parts),
        spend_expire_stage(parts),
        pool_left_behind_stage(parts),
        charge_refund_stage(parts),
        dispute_stage(parts),
        charge_refund_follow_stage(parts),
        refill_stage(parts),
        *settlement_stages(parts),
        correct_stage(parts),
        *bank_stages(parts),
    ]


def enrol(parts: Parts, stop: threading.Event) -> None:
    """Take over what may be known of the signer's keys: the xpub, and the treasury's addresses."""
    while not stop.is_set():
        try:
            public = parts.signer_client().public()
        except SignerUnavailable:
            log.info("worker.awaits_signer")
            stop.wait(SIGNER_RETRY_SECONDS)
            continue
        with parts.database.begin() as connection:
            put_wallet(connection, public.xpub, now=now())
            for first in put_seeds(connection, public.later_xpubs, now=now()):
                log.warning("worker.seed_begins", first_index=first)
            put_treasury(connection, public.treasury_addresses, livemode=False, now=now())
            put_treasury(
                connection, public.gas_addresses, livemode=False, now=now(), role=TreasuryRole.gas
            )
            put_treasury(
                connection,
                public.capture_addresses,
                livemode=False,
                now=now(),
                role=TreasuryRole.capture,
            )
        return
