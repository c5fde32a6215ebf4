"""Gas prices: what a network asks now; that is told when it is more than the operator pays.

Nothing fails for want of a price: what would be sent waits, and goes on by itself when fees fall.
"""

from datetime import timedelta

import structlog
from prometheus_client import Gauge

from sakk.core import event
from sakk.core.event import NewEvent
from sakk.core.gas_price import Fees, FeesAboveCap
from sakk.core.network import Network, public_network
from sakk.flow.context import Parts
from sakk.store import event as events
from sakk.store import gas_price as store

# How soon a network whose fees were above the cap is asked again.
WAIT_FEES = timedelta(seconds=5)

log = structlog.get_logger(__name__)

fee_wei = Gauge(
    "sakk_network_fee_wei",
    "What is offered per gas, within the caps: max, priority, base.",
    ["network", "part"],
    multiprocess_mode="mostrecent",
)
above_cap = Gauge(
    "sakk_network_fees_above_cap",
    "1 while a network asks more for gas than its cap, and sending waits.",
    ["network"],
    multiprocess_mode="mostrecent",
)


def price(parts: Parts, found: Network) -> Fees:
    """Fees for a network's next blocks. FeesAboveCap while they are more than its caps allow.

    Both are kept, and the change from one to the other is an event.
    """
    try:
        quoted = parts.rail_of(found).fees(found.fee_caps)
    except FeesAboveCap as error:
        _record(parts, found, None)
        raise error
    _record(parts, found, quoted)
    return quoted


def _record(parts: Parts, found: Network, quoted: Fees | None) -> None:
    above_cap.labels(found.network).set(quoted is None)
    if quoted is not None:
        for part, wei in (
            ("max", quoted.max_fee_per_gas),
            ("priority", quoted.max_priority_fee_per_gas),
            ("base", quoted.base_fee_per_gas),
        ):
            fee_wei.labels(found.network, part).set(wei)
    now = parts.clock()
    with parts.database.begin() as connection:
        if not store.record(connection, found.network, quoted, now=now):
            return
        name = event.NETWORK_FEES_WITHIN_CAP if quoted else event.NETWORK_FEES_ABOVE_CAP
        log.warning(name, network=found.network, cap=found.max_fee_per_gas_max)
        events.append(connection, [_fee_event(found, name)], now=now)


def _fee_event(found: Network, name: str) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=found.livemode,
        type=name,
        object_id=found.network,
        object=public_network(found, [], head_number=None),
    )
