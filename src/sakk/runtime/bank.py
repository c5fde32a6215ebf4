"""The way to banks: the worker's alone, which loads what speaks to them."""

from sakk.flow.context import Parts
from sakk.flow.delivery import public_connector
from sakk.rails.bank.adapters import Banks
from sakk.rails.bank.sandbox_notice import SandboxNotices
from sakk.runtime.settings import Settings


def banks_of(settings: Settings, parts: Parts) -> Banks:
    """Each account's bank: in its folder, or at its server."""
    allowed = settings.webhook_allow_loopback
    notices = None
    if settings.sandbox and parts.vault is not None and parts.public_url is not None:
        notices = SandboxNotices(parts.public_url, parts.vault)
    return Banks(
        settings.banks,
        database=parts.database,
        vault=parts.vault,
        connector=lambda: public_connector(allow_loopback=allowed),
        allow_loopback=allowed,
        tell=None if notices is None else notices.tell,
    )
