"""The local chain is what the product is told it is: real contracts, and tokens that misbehave."""

import dataclasses
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from sakk.core.errors import Misconfigured, Unavailable
from sakk.rails.sandbox.chain import (
    SandboxChain,
    SandboxToken,
    TokenKind,
    deploy,
    deploy_contract,
    deploy_token,
    derive_private_key,
    mint,
)
from sakk.rails.sandbox.node import MNEMONIC, find_anvil, start_node
from sakk.rails.sandbox.rpc import LocalRpc, LocalRpcRefused
from sakk.rails.sandbox.wallet import (
    Receipt,
    TransactionReverted,
    Transfer,
    Wallet,
    encode_call,
)
from tests.chain import Chain, StartChain

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
APPROVAL = "approve(address,uint256)"
GAS = 200_000
ZERO = "0x" + "00" * 20


def address(number: int) -> str:
    """An address that nobody has a key for."""
    return f"0x{0xDE40517 << 96 | number:040x}"


def transfer_events(receipt: Receipt) -> list[tuple[str, str, int]]:
    """(from, to, units) of each Transfer in a receipt, addresses in lower case."""
    return [
        ("0x" + log["topics"][1][-40:], "0x" + log["topics"][2][-40:], int(log["data"], 16))
        for log in receipt["logs"]
        if log["topics"][0] == TRANSFER
    ]


def mined(chain: Chain, transaction_hash: str) -> Receipt:
    chain.mine()
    return chain.payer.wait(transaction_hash)


def fails(chain: Chain, wallet: Wallet, contract: str, signature: str, *arguments: object) -> None:
    """The call is mined and reverts."""
    sent = wallet.call_contract(contract, signature, *arguments, gas_limit=GAS)
    chain.mine()
    with pytest.raises(TransactionReverted):
        wallet.wait(sent)


def test_the_same_addresses_on_every_network(chain: Chain, start_chain: StartChain) -> None:
    other = start_chain("eip155:31337")
    assert other.contracts.chain_id == 31337
    same = dataclasses.replace(
        other.contracts,
        network=chain.network,
        chain_id=chain.contracts.chain_id,
        rpc_url=chain.rpc_url,
    )
    assert same == chain.contracts
    assert chain.contracts.usdc.contract == "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    assert chain.contracts.multicall3 == "0xcA11bde05977b3631167028862bE2a173976CA11"
    assert chain.contracts.permit2 == "0x000000000022D473030F116dDEE9F6B43aC78BA3"


def test_deploying_again_changes_nothing(chain: Chain) -> None:
    height = chain.height()
    assert deploy(chain.rpc_url, chain.network) == chain.contracts
    assert chain.height() == height


def test_deploy_refuses_another_network(chain: Chain) -> None:
    with pytest.raises(Misconfigured, match="is eip155:84532 and not eip155:1"):
        deploy(chain.rpc_url, "eip155:1")


def test_the_payer_is_the_mnemonics_first_account_and_is_rich(chain: Chain) -> None:
    Account.enable_unaudited_hdwallet_features()
    payer = Account.from_mnemonic(MNEMONIC)
    assert chain.contracts.payer_private_key == "0x" + payer.key.hex()
    assert chain.contracts.payer_address == payer.address
    for token in chain.contracts.tokens:
        assert chain.payer.balance_of(token.contract, payer.address) >= 10_000_000 * 10**6
    assert chain.payer.native_balance(payer.address) >= 1_000_000 * 10**18


def test_usdc_answers_as_the_real_one(chain: Chain) -> None:
    usdc = chain.contracts.usdc
    read = chain.payer.read
    assert read(usdc.contract, "name()", returns=["string"]) == ("USDC",)
    assert read(usdc.contract, "symbol()", returns=["string"]) == ("USDC",)
    assert read(usdc.contract, "currency()", returns=["string"]) == ("USD",)
    assert read(usdc.contract, "version()", returns=["string"]) == ("2",)
    assert read(usdc.contract, "decimals()", returns=["uint8"]) == (6,)


@pytest.mark.parametrize("network", ["eip155:84532", "eip155:31337"])
def test_usdc_signs_under_its_own_domain(
    chain: Chain, start_chain: StartChain, network: str
) -> None:
    on = chain if network == chain.network else start_chain(network)
    typed = authorization(on.contracts, sender=address(1), to=address(2), units=1, nonce=bytes(32))
    # eth_account keeps the domain separator as the signable message's header.
    assert on.payer.read(on.contracts.usdc.contract, "DOMAIN_SEPARATOR()", returns=["bytes32"]) == (
        encode_typed_data(full_message=typed).header,
    )


def test_usdc_moves_by_a_signed_authorization(chain: Chain) -> None:
    usdc = chain.contracts.usdc
    owner = Account.from_key(derive_private_key(7))
    mint(chain.contracts, usdc, owner.address, 500)
    typed = authorization(
        chain.contracts, sender=owner.address, to=address(3), units=200, nonce=b"\x07" * 32
    )
    signature = owner.sign_message(encode_typed_data(full_message=typed))
    message = typed["message"]
    assert isinstance(message, dict)
    call = (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
        *message.values(),
        bytes(signature.signature),
    )
    receipt = mined(chain, chain.payer.call_contract(usdc.contract, *call))
    assert transfer_events(receipt) == [(owner.address.lower(), address(3), 200)]
    assert chain.payer.balance_of(usdc.contract, address(3)) == 200
    assert chain.payer.balance_of(usdc.contract, owner.address) == 300
    fails(chain, chain.payer, usdc.contract, *call)
    assert chain.payer.balance_of(usdc.contract, address(3)) == 200


def authorization(
    chain: SandboxChain, *, sender: str, to: str, units: int, nonce: bytes
) -> dict[str, object]:
    """An EIP-3009 message for USDC, in the order of the function's arguments."""
    fields = {
        "from": "address",
        "to": "address",
        "value": "uint256",
        "validAfter": "uint256",
        "validBefore": "uint256",
        "nonce": "bytes32",
    }
    domain = {
        "name": "string",
        "version": "string",
        "chainId": "uint256",
        "verifyingContract": "address",
    }
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain.items()],
            "TransferWithAuthorization": [
                {"name": name, "type": kind} for name, kind in fields.items()
            ],
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": "USDC",
            "version": "2",
            "chainId": chain.chain_id,
            "verifyingContract": chain.usdc.contract,
        },
        "message": {
            "from": sender,
            "to": to,
            "value": units,
            "validAfter": 0,
            "validBefore": 2**64,
            "nonce": nonce,
        },
    }


def test_usdc_deny_list_and_pause_stop_transfers(chain: Chain) -> None:
    usdc, issuer = chain.contracts.usdc.contract, chain.issuer
    listed = address(4)
    mined(chain, issuer.call_contract(usdc, "blacklist(address)", listed))
    fails(chain, chain.payer, usdc, "transfer(address,uint256)", listed, 1)
    mined(chain, issuer.call_contract(usdc, "unBlacklist(address)", listed))
    mined(chain, chain.payer.transfer(usdc, listed, 1))
    mined(chain, issuer.call_contract(usdc, "pause()"))
    fails(chain, chain.payer, usdc, "transfer(address,uint256)", listed, 1)
    assert chain.payer.balance_of(usdc, listed) == 1


def test_usdt_returns_nothing_and_guards_allowances(chain: Chain) -> None:
    usdt = chain.contracts.usdt.contract
    read = chain.payer.read
    assert read(usdt, "name()", returns=["string"]) == ("Tether USD",)
    assert read(usdt, "symbol()", returns=["string"]) == ("USDT",)
    assert read(usdt, "decimals()", returns=["uint8"]) == (6,)
    request = {
        "from": chain.contracts.payer_address,
        "to": usdt,
        "data": "0x" + encode_call("transfer(address,uint256)", address(5), 1).hex(),
    }
    assert chain.rpc.call("eth_call", request, "latest") == "0x"
    mined(chain, chain.payer.call_contract(usdt, APPROVAL, address(5), 10))
    fails(chain, chain.payer, usdt, APPROVAL, address(5), 11)
    mined(chain, chain.payer.call_contract(usdt, APPROVAL, address(5), 0))
    mined(chain, chain.payer.call_contract(usdt, APPROVAL, address(5), 11))


@pytest.mark.parametrize(
    ("units", "fee"),
    [(1_000_000, 1_000), (999, 0), (10**12, 20 * 10**6)],
    ids=["ten basis points", "rounded down to nothing", "capped"],
)
def test_usdt_fee_is_told_in_two_events(chain: Chain, units: int, fee: int) -> None:
    usdt, issuer, payer = chain.contracts.usdt.contract, chain.issuer, chain.payer
    mined(chain, issuer.call_contract(usdt, "setParams(uint256,uint256)", 10, 20))
    before = payer.balance_of(usdt, issuer.address)
    receipt = mined(chain, payer.transfer(usdt, address(6), units))
    sender = payer.address.lower()
    told = [(sender, issuer.address.lower(), fee)] if fee else []
    assert transfer_events(receipt) == [*told, (sender, address(6), units - fee)]
    assert payer.balance_of(usdt, address(6)) == units - fee
    assert payer.balance_of(usdt, issuer.address) == before + fee


def test_usdt_owner_can_freeze_destroy_pause_issue_and_redeem(chain: Chain) -> None:
    usdt, issuer, payer = chain.contracts.usdt.contract, chain.issuer, chain.payer
    listed = Wallet(chain.rpc_url, derive_private_key(8))
    with listed:
        mined(chain, payer.transfer(usdt, listed.address, 50))
        mined(chain, payer.send_native(listed.address, 10**18))
        mined(chain, issuer.call_contract(usdt, "addBlackList(address)", listed.address))
        fails(chain, listed, usdt, "transfer(address,uint256)", address(9), 1)
        # Only senders are stopped, as with the real one.
        mined(chain, payer.transfer(usdt, listed.address, 5))
        destroy = issuer.call_contract(usdt, "destroyBlackFunds(address)", listed.address)
        assert transfer_events(mined(chain, destroy)) == []
        assert payer.balance_of(usdt, listed.address) == 0
    mined(chain, issuer.call_contract(usdt, "pause()"))
    fails(chain, payer, usdt, "transfer(address,uint256)", address(9), 1)
    mined(chain, issuer.call_contract(usdt, "unpause()"))
    supply = payer.balance_of(usdt, issuer.address)
    assert transfer_events(mined(chain, issuer.call_contract(usdt, "issue(uint256)", 9))) == []
    assert transfer_events(mined(chain, issuer.call_contract(usdt, "redeem(uint256)", 4))) == []
    assert payer.balance_of(usdt, issuer.address) == supply + 5
    fails(chain, payer, usdt, "issue(uint256)", 1)


@pytest.mark.parametrize("decimals", [0, 6, 18])
def test_plain_token_mints_and_burns_in_its_decimals(chain: Chain, decimals: int) -> None:
    token = deploy_token(
        chain.contracts, TokenKind.plain, name="USD Coin", symbol="USDC", decimals=decimals
    )
    assert token == SandboxToken("usdc", token.contract, decimals, TokenKind.plain)
    assert token.contract != chain.contracts.usdc.contract
    assert chain.payer.read(token.contract, "decimals()", returns=["uint8"]) == (decimals,)
    minted = chain.payer.wait(mint(chain.contracts, token, address(10), 7))
    assert transfer_events(minted) == [(ZERO, address(10), 7)]
    burnt = chain.payer.call_contract(token.contract, "burn(address,uint256)", address(10), 3)
    assert transfer_events(mined(chain, burnt)) == [(address(10), ZERO, 3)]
    assert chain.payer.balance_of(token.contract, address(10)) == 4


def test_gross_fee_token_credits_less_than_it_says(chain: Chain) -> None:
    token = deploy_token(
        chain.contracts,
        TokenKind.gross_fee,
        name="Gross",
        symbol="GRS",
        decimals=6,
        fee_basis_points=250,
    )
    payer = chain.payer
    mint(chain.contracts, token, payer.address, 10_000)
    receipt = mined(chain, payer.transfer(token.contract, address(11), 10_000))
    assert transfer_events(receipt) == [(payer.address.lower(), address(11), 10_000)]
    assert payer.balance_of(token.contract, address(11)) == 9_750


def test_batcher_pays_many_in_one_transaction(chain: Chain) -> None:
    batcher = deploy_contract(chain.contracts, "Batcher")
    payer = chain.payer
    tokens = [token.contract for token in chain.contracts.tokens]
    for token in tokens:
        mined(chain, payer.call_contract(token, APPROVAL, batcher, 2**256 - 1))
    payments = [(tokens[number % 2], address(20 + number), 1 + number) for number in range(40)]
    sent = payer.call_contract(batcher, "transferMany((address,address,uint256)[])", payments)
    assert transfer_events(mined(chain, sent)) == [
        (payer.address.lower(), to, units) for _, to, units in payments
    ]


def test_batcher_sends_native_coin_without_a_log(chain: Chain) -> None:
    batcher = deploy_contract(chain.contracts, "Batcher")
    call = (batcher, "sendMany(address[],uint256[])", [address(60), address(61)], [3, 4])
    receipt = mined(chain, chain.payer.call_contract(*call, value_wei=7))
    assert receipt["logs"] == []
    assert [chain.payer.native_balance(address(each)) for each in (60, 61)] == [3, 4]
    with pytest.raises(LocalRpcRefused, match="values do not add up"):
        chain.payer.call_contract(*call, value_wei=8)


def test_multicall3_reads_many_at_once(chain: Chain) -> None:
    contracts = chain.contracts
    calls = [
        (token.contract, True, encode_call("balanceOf(address)", contracts.payer_address))
        for token in contracts.tokens
    ]
    calls.append((contracts.usdc.contract, True, encode_call("noSuchFunction()")))
    (answers,) = chain.payer.read(
        contracts.multicall3,
        "aggregate3((address,bool,bytes)[])",
        calls,
        returns=["(bool,bytes)[]"],
    )
    balances = [
        encode(["uint256"], [chain.payer.balance_of(token.contract, contracts.payer_address)])
        for token in contracts.tokens
    ]
    assert [(done, data) for done, data in answers[:2]] == [(True, each) for each in balances]
    assert answers[2][0] is False


def test_permit2_signs_under_this_chains_domain(chain: Chain) -> None:
    # Permit2's domain has no version, see EIP712.sol of its source.
    separator = keccak(
        encode(
            ["bytes32", "bytes32", "uint256", "address"],
            [
                keccak(text="EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak(text="Permit2"),
                chain.contracts.chain_id,
                chain.contracts.permit2,
            ],
        )
    )
    found = chain.payer.read(chain.contracts.permit2, "DOMAIN_SEPARATOR()", returns=["bytes32"])
    assert found == (separator,)


def test_wallet_sends_hundreds_that_fit_one_block(chain: Chain) -> None:
    usdc = chain.contracts.usdc.contract
    hashes = chain.payer.transfer_many(
        [Transfer(usdc, address(100 + number), 1 + number) for number in range(300)]
    )
    height = chain.mine()
    receipts = [chain.payer.wait(each) for each in hashes]
    assert {int(receipt["blockNumber"], 16) for receipt in receipts} == {height}
    assert sum(len(transfer_events(receipt)) for receipt in receipts) == 300


def test_wallet_waits_no_longer_than_told(chain: Chain) -> None:
    sent = chain.payer.transfer(chain.contracts.usdc.contract, address(12), 1)
    with pytest.raises(TimeoutError, match="does the chain mine"):
        chain.payer.wait(sent, timeout_seconds=0)


def test_wallet_goes_on_after_a_refused_transaction(chain: Chain) -> None:
    with Wallet(chain.rpc_url, derive_private_key(9)) as poor:
        with pytest.raises(LocalRpcRefused):
            poor.send_native(address(13), 10**30)
        mined(chain, poor.send_native(address(13), 1))


def test_reorg_forgets_or_mines_again_under_the_same_hash(chain: Chain) -> None:
    usdc = chain.contracts.usdc.contract
    lost = chain.payer.transfer(usdc, address(14), 1)
    chain.mine()
    kept = chain.issuer.send_native(address(15), 2)
    height = chain.mine(2)
    hashes = [chain.block_hash(number) for number in range(height - 3, height + 1)]
    chain.reorg(3, again=[kept])
    assert chain.height() == height
    now = [chain.block_hash(number) for number in range(height - 3, height + 1)]
    assert [old == new for old, new in zip(hashes, now, strict=True)] == [True, False, False, False]
    assert chain.rpc.call("eth_getTransactionReceipt", lost) is None
    assert int(chain.issuer.wait(kept)["blockNumber"], 16) == height - 2
    assert chain.payer.balance_of(usdc, address(14)) == 0
    assert chain.payer.native_balance(address(15)) == 2


def test_rollback_shortens_the_chain(chain: Chain) -> None:
    height = chain.height()
    chain.payer.transfer(chain.contracts.usdc.contract, address(16), 1)
    chain.mine(2)
    chain.rollback(2)
    assert chain.height() == height
    assert chain.payer.balance_of(chain.contracts.usdc.contract, address(16)) == 0


def test_revert_leaves_nothing_of_a_test(start_chain: StartChain) -> None:
    chain = start_chain()
    height, snapshot = chain.height(), chain.snapshot()
    chain.set_automine(True)
    chain.payer.wait(chain.payer.transfer(chain.contracts.usdc.contract, address(17), 1))
    chain.set_automine(False)
    chain.payer.transfer(chain.contracts.usdc.contract, address(17), 1)
    chain.set_automine(True)
    chain.revert(snapshot)
    assert chain.height() == height
    assert chain.rpc.call("anvil_getAutomine") is False
    chain.mine()
    assert chain.payer.balance_of(chain.contracts.usdc.contract, address(17)) == 0


def test_blocks_come_by_themselves_when_asked(start_chain: StartChain) -> None:
    chain = start_chain(block_time_seconds=0.1)
    chain.payer.wait(chain.payer.transfer(chain.contracts.usdc.contract, address(18), 1))
    assert chain.payer.balance_of(chain.contracts.usdc.contract, address(18)) == 1


def test_finalized_follows_the_head_by_two_epochs(chain: Chain) -> None:
    height = chain.mine(3)
    tags = {
        tag: int(chain.rpc.call("eth_getBlockByNumber", tag, False)["number"], 16)
        for tag in ("safe", "finalized")
    }
    assert tags == {"safe": height - 2, "finalized": height - 4}


def test_a_stopped_node_leaves_no_files_and_says_so(chain: Chain) -> None:
    with start_node("eip155:31337") as node:
        directory, url = node.directory, node.url
        assert "Listening on" in node.log()
    node.stop()
    assert not directory.exists()
    assert node.process.returncode is not None
    with LocalRpc(url) as rpc, pytest.raises(Unavailable, match="does not answer"):
        rpc.call("eth_chainId")


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_node_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time; from sakk.rails.sandbox.node import start_node\n"
        "print(start_node('eip155:31337').process.pid, flush=True); time.sleep(600)"
    )
    # A killed parent cannot remove the node's files: they go where pytest cleans up.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        node = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            # A process's descriptor becomes readable when it ends.
            assert select.select([node], [], [], 20)[0] == [node]
        finally:
            os.close(node)


def test_a_node_that_cannot_start_says_why() -> None:
    with pytest.raises(Unavailable, match="anvil ended with"):
        start_node("eip155:31337", hardfork="no-such-fork")
    with pytest.raises(Misconfigured, match="needs an EVM network"):
        start_node("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")


def test_anvil_is_named_found_or_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundled = find_anvil()
    monkeypatch.setenv("SAKK_ANVIL", str(bundled))
    assert find_anvil() == bundled
    monkeypatch.setenv("SAKK_ANVIL", str(tmp_path / "anvil"))
    with pytest.raises(Misconfigured, match="SAKK_ANVIL names no program"):
        find_anvil()
    monkeypatch.delenv("SAKK_ANVIL")
    monkeypatch.setattr("sakk.rails.sandbox.node._REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"run `npm (ci|install)"):
        find_anvil()
    (tmp_path / "anvil").symlink_to(bundled)
    assert find_anvil() == tmp_path / "anvil"
