from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting, merged

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
HOT, DEPOSIT = chart.custody(ASSET, "hot"), chart.custody(ASSET, "deposit")
BRIDGE = chart.conversion_asset(ASSET)


def test_what_moves_the_same_way_for_the_same_reason_is_one_posting() -> None:
    found = merged(
        [
            Posting(BRIDGE, HOT, 3, TransferCode.payout),
            Posting(HOT, DEPOSIT, 5, TransferCode.sweep),
            Posting(BRIDGE, HOT, 4, TransferCode.payout),
            Posting(BRIDGE, HOT, 1, TransferCode.sweep_loss),
            Posting(HOT, BRIDGE, 2, TransferCode.payout),
        ]
    )
    assert found == [
        Posting(BRIDGE, HOT, 7, TransferCode.payout),
        Posting(HOT, DEPOSIT, 5, TransferCode.sweep),
        Posting(BRIDGE, HOT, 1, TransferCode.sweep_loss),
        Posting(HOT, BRIDGE, 2, TransferCode.payout),
    ]
    assert merged([]) == []
