"""The other side's own parts, as they come: what ``sakk bench agent`` holds ours against.

Their asynchronous facilitator behind two routes of FastAPI, with a key of its own on the same
chain; and their FastAPI middleware, which sells by ``batch-settlement`` with channels in its own
memory. Each in one worker of granian, as ours. They are in no installation of Sakk: without them a
bench has no baseline.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from coincurve import PrivateKey
from fastapi import FastAPI

from sakk.bench.agent_server import PAID, WEATHER
from sakk.bench.service import serving
from sakk.core import evm
from sakk.rails.sandbox.rpc import LocalRpc

FUNDS_WEI = 10**20
READY = "/ready"


def is_there() -> bool:
    """Is the other side's package installed?"""
    return find_spec("x402") is not None and find_spec("web3") is not None


@contextmanager
def official_facilitator(rpc_url: str, network: str) -> Iterator[str]:
    """Its address, until the block ends."""
    key = PrivateKey(secrets.token_bytes(32))
    sender = evm.public_key_address(key.public_key.format(compressed=False))
    rpc = LocalRpc(rpc_url)
    try:
        rpc.call("anvil_setBalance", sender, hex(FUNDS_WEI))
    finally:
        rpc.close()
    environment = {
        "SAKK_BENCH_RPC": rpc_url,
        "SAKK_BENCH_NETWORK": network,
        "SAKK_BENCH_KEY": "0x" + key.secret.hex(),
    }
    with serving("sakk.bench.agent_official:make", environment, ready=READY) as url:
        yield url


def make() -> FastAPI:
    """The application, in the worker's process."""
    from x402 import x402Facilitator
    from x402.mechanisms.evm import FacilitatorWeb3Signer
    from x402.mechanisms.evm.exact import register_exact_evm_facilitator
    from x402.schemas import PaymentPayload, PaymentRequirements

    environment = os.environ
    signer = FacilitatorWeb3Signer(environment["SAKK_BENCH_KEY"], environment["SAKK_BENCH_RPC"])
    facilitator = register_exact_evm_facilitator(
        x402Facilitator(), signer, environment["SAKK_BENCH_NETWORK"]
    )
    app = FastAPI()

    def read(body: dict[str, Any]) -> tuple[PaymentPayload, PaymentRequirements]:
        return (
            PaymentPayload.model_validate(body["paymentPayload"]),
            PaymentRequirements.model_validate(body["paymentRequirements"]),
        )

    @app.get(READY)
    async def ready() -> dict[str, Any]:
        return {}

    @app.post("/x402/verify")
    async def verify(body: dict[str, Any]) -> Any:
        told = await facilitator.verify(*read(body))
        return told.model_dump(by_alias=True, exclude_none=True)

    @app.post("/x402/settle")
    async def settle(body: dict[str, Any]) -> Any:
        told = await facilitator.settle(*read(body))
        return told.model_dump(by_alias=True, exclude_none=True)

    return app


def make_server() -> FastAPI:
    """A service that is sold by their middleware, in the worker's process."""
    from x402.http import FacilitatorConfig, HTTPFacilitatorClient
    from x402.http.middleware.fastapi import PaymentMiddlewareASGI
    from x402.http.types import PaymentOption, RouteConfig
    from x402.mechanisms.evm.batch_settlement.server import BatchSettlementEvmScheme
    from x402.server import x402ResourceServer

    environment = os.environ
    network, payee = environment["SAKK_BENCH_NETWORK"], environment["SAKK_BENCH_PAYEE"]
    facilitator = HTTPFacilitatorClient(
        FacilitatorConfig(url=environment["SAKK_BENCH_URL"] + "/x402")
    )
    # Their scheme's own annotations fall short of their protocol's; it is registered as they do.
    scheme: Any = BatchSettlementEvmScheme(payee)
    server = x402ResourceServer(facilitator).register(network, scheme)
    app = FastAPI()

    @app.get(READY)
    async def ready() -> dict[str, Any]:
        return {}

    @app.get(PAID)
    async def paid() -> dict[str, Any]:
        return WEATHER

    sold = RouteConfig(
        accepts=PaymentOption(
            scheme="batch-settlement",
            pay_to=payee,
            price=environment["SAKK_BENCH_PRICE"],
            network=network,
        )
    )
    app.add_middleware(PaymentMiddlewareASGI, routes={f"GET {PAID}": sold}, server=server)
    return app
