"""Proof of liabilities over HTTP: everybody reads the same epochs, each its own proof."""

import msgspec
import pytest

from sakk.client import ResourceMissingError, SakkClient
from sakk.client.liability import verify
from tests.api.paying import open_tenant
from tests.api.world import Api, Tenant


def client(api: Api, who: Tenant | str) -> SakkClient:
    return SakkClient(who if isinstance(who, str) else who.key, api.url)


def make(api: Api) -> str:
    """An epoch as of now, by its id."""
    answer = api.call("POST", "/v1/probes/liabilities", json={})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def fund(api: Api, who: Tenant, amount: int) -> None:
    answer = api.call("POST", "/v1/probes/fund", key=who.key, json={"amount": amount})
    assert answer.status_code == 200, answer.text


def test_a_proof_from_the_door_holds_offline(api: Api) -> None:
    fund(api, api.world.alice, 2_500_000)
    identifier = make(api)
    with client(api, api.world.alice) as alice, client(api, api.world.bob) as bob:
        epoch = alice.liability_epochs.retrieve(identifier)
        assert bob.liability_epochs.retrieve(identifier) == epoch
        proof = alice.liability_proofs.retrieve(identifier)
        paid_for = [
            each.id
            for each in alice.channels.list(limit=100).auto_paging_iter()
            if each.payer == api.world.alice.account
        ]
        owed = verify(
            msgspec.to_builtins(proof),
            msgspec.to_builtins(epoch),
            account=api.world.alice.account,
            channels=paid_for,
        )
        assert 2_500_000 <= owed <= int(epoch.total)
        assert epoch.total_decimal is not None
        assert int(epoch.total_decimal.replace(".", "")) == int(epoch.total)


def test_one_account_never_gets_anothers_proof(api: Api) -> None:
    stranger = open_tenant(api, "Never paid")
    fund(api, api.world.alice, 1)
    fund(api, api.world.operator, 7)
    identifier = make(api)
    with client(api, stranger) as other:
        with pytest.raises(ResourceMissingError, match="had no balance in test/usdc"):
            other.liability_proofs.retrieve(identifier)
    with client(api, api.world.operator) as operator:
        own = operator.liability_proofs.retrieve(identifier)
        assert own.account == api.world.operator.account
        theirs = operator.for_account(api.world.alice.account).liability_proofs
        assert theirs.retrieve(identifier).account == api.world.alice.account


def test_the_other_mode_has_epochs_of_its_own(api: Api) -> None:
    fund(api, api.world.alice, 1)
    identifier = make(api)
    with client(api, api.world.live_key) as live:
        for read in (live.liability_epochs.retrieve, live.liability_proofs.retrieve):
            with pytest.raises(ResourceMissingError, match="No such liability_epoch"):
                read(identifier)
        assert identifier not in [each.id for each in live.liability_epochs.list()]


def test_epochs_are_listed_newest_first_and_by_currency(api: Api) -> None:
    fund(api, api.world.alice, 1)
    made = [make(api) for _ in range(2)]
    with client(api, api.world.bob) as bob:
        listed = bob.liability_epochs.list(currency="USDC", limit=2)
        assert [each.id for each in listed] == made[::-1]
        assert listed.data[0].epoch == listed.data[1].epoch + 1
        assert list(bob.liability_epochs.list(currency="eur")) == []
