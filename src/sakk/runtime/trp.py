"""What speaks the Travel Rule Protocol, wired: the worker alone does, and alone loads it."""

from sakk.flow.trp import Credentials, TrpRail
from sakk.runtime.settings import Settings


def trp_rail(settings: Settings) -> TrpRail:
    """How other institutions are told who sends and who receives."""
    return TrpRail(
        Credentials(
            settings.travel_rule_ca_file,
            settings.travel_rule_certificate_file,
            settings.travel_rule_key_file,
        ),
        allow_loopback=settings.webhook_allow_loopback,
    )
