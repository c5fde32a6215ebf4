"""``sakk wallet``: pay for what answers 402, and see what was paid. Needs no server of ours."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, NamedTuple

import httpx2
import typer

from sakk.cli.out import Json, console, print_json, print_table
from sakk.client import escrow_receipt
from sakk.client.escrow_payer import EscrowPayer, EscrowPayerError
from sakk.client.exact import account_of
from sakk.client.wallet import Wallet, WalletError
from sakk.client.wallet_chain import ChainError, reconcile
from sakk.client.wallet_log import BudgetExceeded, Limits
from sakk.client.wallet_policy import MICRO, USDC, Asset, Policy
from sakk.client.wallet_transport import RECEIPT
from sakk.client.x402 import PAYMENT_REQUIRED, X402Error, read_challenge

app = typer.Typer(
    help="A buyer's wallet: pays for what answers 402 within limits, and keeps receipts.",
    no_args_is_help=True,
)

DAY_SECONDS = 86_400
# What is said in one line, and is no fault of this program.
_TOLD = (
    WalletError,
    BudgetExceeded,
    X402Error,
    ChainError,
    EscrowPayerError,
    httpx2.HTTPError,
)
TIMEOUT_SECONDS = 60.0

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="The payer's private key, in hex; see `sakk wallet new`."),
]
PrivateKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="SAKK_AGENT_KEY",
        help="The key itself; others see it on a command line: name it in the environment.",
        show_envvar=True,
    ),
]
LogFile = Annotated[
    Path,
    typer.Option(
        "--log", envvar="SAKK_WALLET_LOG", help="Where payments and the budget are written down."
    ),
]
PerCall = Annotated[str, typer.Option(help="What one call may cost, in dollars.")]
PerDay = Annotated[str | None, typer.Option(help="What a day may cost, in dollars.")]
Total = Annotated[str, typer.Option(help="What may be spent in all, in dollars.")]
Hosts = Annotated[
    list[str] | None, typer.Option("--host", help="A seller that may be paid; any, if none.")
]
Coins = Annotated[
    list[str] | None,
    typer.Option(
        "--coin",
        help="A dollar coin to pay with besides USDC, as eip155:8453/0x…:usdt:6.",
    ),
]
Authority = Annotated[
    list[str] | None,
    typer.Option("--authority", help="A Sakk to keep sessions with: https://…[=mnd_…]."),
]


Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        help="A node to believe, as eip155:8453=https://…: what a seller does not say is asked "
        "there, and Permit2 pays with coins without EIP-3009.",
    ),
]


class Options(NamedTuple):
    """How a wallet is made on the command line."""

    key: str | None
    key_file: Path | None
    log: Path
    per_call: str
    per_day: str | None
    total: str
    hosts: list[str] | None
    coins: list[str] | None
    authorities: list[str] | None
    nodes: list[str] | None = None


@app.command()
def new(path: Annotated[Path, typer.Argument(help="The file to make; it must not exist.")]) -> None:
    """Make a key for an agent, in a file that only you can read, and print its address."""
    key = "0x" + secrets.token_hex(32)
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise typer.BadParameter(f"{path} exists already: a key is never overwritten") from error
    path.write_text(key + "\n")
    typer.echo(account_of(key).address)


@app.command()
def pay(
    url: str,
    key: PrivateKey = None,
    key_file: KeyFile = None,
    log: LogFile = Path("payments.db"),
    per_call: PerCall = "0.1",
    per_day: PerDay = None,
    total: Total = "10",
    hosts: Hosts = None,
    coins: Coins = None,
    authorities: Authority = None,
    nodes: Nodes = None,
    method: Annotated[str, typer.Option("--method", "-X")] = "GET",
    body: Annotated[str | None, typer.Option("--body", "-d")] = None,
    once: Annotated[
        str | None, typer.Option(help="An Idempotency-Key: repeated under it, it is paid once.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a request, pay if it is asked for, and print the answer and its receipt."""
    options = Options(
        key, key_file, log, per_call, per_day, total, hosts, coins, authorities, nodes
    )
    headers = {} if once is None else {"idempotency-key": once}
    with opened_wallet(options) as wallet, wallet.client(timeout=TIMEOUT_SECONDS) as http:
        content = None if body is None else body.encode()
        answer = http.request(method, url, headers=headers, content=content)
        receipt = answer.extensions.get(RECEIPT)
    document = None if receipt is None else json.loads(receipt.to_json())
    if as_json:
        print_json({"status": answer.status_code, "body": answer.text, "receipt": document})
        return
    typer.echo(answer.text)
    if receipt is not None:
        paid = f"paid {dollars(receipt.value)} by {receipt.scheme} on {receipt.network}"
        # A call of a deposit or of a session's step has no transaction of its own on a chain.
        typer.echo(f"{paid}: {receipt.transaction}" if receipt.transaction else paid, err=True)


@app.command()
def quote(
    url: str,
    per_call: PerCall = "0.1",
    hosts: Hosts = None,
    coins: Coins = None,
    authorities: Authority = None,
    as_json: Json = False,
) -> None:
    """What a resource costs, by every way that is offered; nothing is paid."""
    key = "0x" + secrets.token_hex(32)
    options = Options(key, None, Path(), per_call, None, "10", hosts, coins, authorities)
    with _told():
        answer = httpx2.get(url, timeout=TIMEOUT_SECONDS)
        if answer.status_code != 402:
            typer.echo(f"{url} answers {answer.status_code}: it asks for no payment")
            return
        challenge = read_challenge(answer.headers.get(PAYMENT_REQUIRED), answer.content)
    choices = Wallet(key, policy_of(options)).quote(challenge, url)
    if as_json:
        print_json([choice.to_dict() for choice in choices])
        return
    print_table(
        ["taken", "scheme", "network", "asset", "amount", "usd", "refused"],
        [
            [
                "*" if one.taken else "",
                one.scheme,
                one.network,
                one.asset,
                one.amount,
                "" if one.value is None else dollars(one.value),
                one.refused,
            ]
            for one in choices
        ],
    )


@app.command()
def receipts(log: LogFile = Path("payments.db"), as_json: Json = False) -> None:
    """What was paid, newest first; with --json every receipt whole, a line each."""
    with opened_log(log) as wallet:
        if as_json:
            for line in wallet.log.export():
                typer.echo(line)
            return
        print_table(
            ["id", "state", "usd", "scheme", "network", "payee", "transaction", "url"],
            [
                [
                    one.id,
                    one.state.value,
                    dollars(one.value),
                    one.scheme,
                    one.network,
                    one.payee,
                    one.transaction,
                    one.url,
                ]
                for one in wallet.log.receipts()
            ],
        )


@app.command()
def check(
    rpc: Annotated[list[str], typer.Option(help="A node to believe: eip155:8453=https://…")],
    log: LogFile = Path("payments.db"),
) -> None:
    """Ask the chain what became of payments whose fate is open, and free what was never taken."""
    nodes = dict(_pair(one, "--rpc", "eip155:8453=https://…") for one in rpc)
    with opened_log(log) as wallet:
        changed = reconcile(wallet.log, nodes)
    print_table(
        ["id", "state", "usd"], [[one.id, one.state, dollars(one.value)] for one in changed]
    )
    console.print(f"{len(changed)} settled", markup=False)


@app.command()
def channel(
    url: Annotated[str, typer.Argument(help="The Sakk that keeps it: https://…")],
    name: Annotated[str, typer.Argument(help="The channel's name in the escrow contract: 0x…")],
    key: PrivateKey = None,
    key_file: KeyFile = None,
    receipts: Annotated[
        Path | None, typer.Option(help="Fetch its receipts into this file, and check them.")
    ] = None,
    dispute: Annotated[
        int | None, typer.Option(help="Dispute what the voucher of this total paid for.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Ask where a channel in x402's escrow stands that this key pays for; dispute a charge."""
    with _told(), EscrowPayer(url, key_of(key, key_file)) as payer:
        if dispute is not None:
            if not reason:
                raise typer.BadParameter("--reason: say what was wrong")
            print_json(payer.dispute(name, dispute, reason))
        elif receipts is not None:
            receipts.write_text(payer.receipts(name))
            authority = payer.authority()
        else:
            print_json(payer.standing(name))
    if receipts is not None and dispute is None:
        raise typer.Exit(escrow_receipt.main([str(receipts), "--authority", authority]))


@contextmanager
def opened_wallet(options: Options) -> Iterator[Wallet]:
    """The wallet that the options describe; what it refuses is one clear line."""
    with _told():
        key = key_of(options.key, options.key_file)
        try:
            wallet = Wallet(key, policy_of(options), log=options.log)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        try:
            yield wallet
        finally:
            wallet.close()


def key_of(key: str | None, key_file: Path | None) -> str:
    """The payer's key; BadParameter where none is named."""
    if key_file is not None:
        try:
            return key_file.read_text().strip()
        except OSError as error:
            raise typer.BadParameter(f"--key-file: {error}") from error
    if key is None:
        raise typer.BadParameter("name the payer's key: --key-file, or SAKK_AGENT_KEY")
    return key


@contextmanager
def opened_log(log: Path) -> Iterator[Wallet]:
    """A wallet to read with: its key never signs."""
    if not log.exists():
        raise typer.BadParameter(f"--log: {log} does not exist")
    with _told():
        wallet = Wallet("0x" + secrets.token_hex(32), log=log)
        try:
            yield wallet
        finally:
            wallet.close()


def policy_of(options: Options) -> Policy:
    """What the options allow; BadParameter names the one that is wrong."""
    per_day = options.per_day
    return Policy(
        limits=Limits(
            per_call=micro(options.per_call, "--per-call"),
            total=micro(options.total, "--total"),
            per_period=() if per_day is None else ((DAY_SECONDS, micro(per_day, "--per-day")),),
        ),
        hosts=None if not options.hosts else frozenset(one.lower() for one in options.hosts),
        assets=(*USDC, *(_coin(one) for one in options.coins or ())),
        authorities={
            address: mandate
            for address, _, mandate in (one.partition("=") for one in options.authorities or ())
        },
        nodes=dict(_pair(one, "--node", "eip155:8453=https://…") for one in options.nodes or ()),
    )


def micro(amount: str, name: str) -> int:
    """Millionths of a dollar, exact."""
    try:
        value = Decimal(amount) * MICRO
        if value < 0 or value != int(value):
            raise ValueError
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{name} must be dollars with at most six decimals") from error
    return int(value)


def dollars(value: int) -> str:
    """Dollars with six decimals."""
    return f"{value // MICRO}.{value % MICRO:06d}"


def _coin(text: str) -> Asset:
    place, _, rest = text.partition("/")
    address, currency, decimals = (*rest.split(":"), "", "")[:3]
    if not place.startswith("eip155:") or not currency or not decimals.isdigit():
        raise typer.BadParameter(f"--coin must be as eip155:8453/0x…:usdt:6, not {text!r}")
    return Asset(place, address, currency.lower(), int(decimals))


def _pair(text: str, name: str, example: str) -> tuple[str, str]:
    left, _, right = text.partition("=")
    if not left or not right:
        raise typer.BadParameter(f"{name} must be as {example}")
    return left, right


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _TOLD as error:
        typer.echo(f"sakk: {error}", err=True)
        raise typer.Exit(1) from error
