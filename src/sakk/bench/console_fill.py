"""Fills a database with what pages of the console show: many of each noun."""

from typing import Final

from sqlalchemy import Connection, Table, text

from sakk.bench import console_rows, console_rows_operator
from sakk.bench.sql_words import ACCOUNT, ASSET, ID, MERCHANT, MOMENT, NETWORK, OPERATOR, UNIT
from sakk.core.network import Asset, Currency, Network
from sakk.store import ledger
from sakk.store import network as networks
from sakk.store.bank_account import bank_accounts
from sakk.store.identity import now
from sakk.store.webhook import webhook_endpoints

UNIT_ID: Final = 1


def fill(connection: Connection, account: str, payments: int) -> None:
    """Write all of it for an account, without what triggers note of each row."""
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    set_up(connection, account)
    for table, prefix, share, told in (*console_rows.FILLED, *console_rows_operator.FILLED):
        insert(connection, table, prefix, told, account, max(1, payments * share // 100))


def insert(
    connection: Connection,
    table: Table,
    prefix: str,
    told: dict[str, str],
    account: str,
    rows: int,
) -> None:
    """Without parameters, for what stands in colons here is none: all of it is ours."""
    values = _columns(table, prefix, told)
    shown = ", ".join(values.values()).replace(ACCOUNT, f"'{account}'").replace(UNIT, str(UNIT_ID))
    shown = shown.replace("%", "%%")
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(values)}) SELECT {shown}"
        f" FROM generate_series(1, {rows}) AS i"
    )


def _columns(table: Table, prefix: str, told: dict[str, str]) -> dict[str, str]:
    """What each column takes that can not be left out."""
    general = {"account_id": ACCOUNT, "livemode": "false", "created": MOMENT}
    values = {}
    for column in table.columns:
        if column.name in told:
            values[f'"{column.name}"'] = told[column.name]
        elif column.name in general:
            values[f'"{column.name}"'] = general[column.name]
        elif column.name == "id":
            values['"id"'] = f"'{prefix}_' || {ID}"
        elif not column.nullable and column.server_default is None:
            values[f'"{column.name}"'] = _usual(str(column.type))
    return values


def _usual(kind: str) -> str:
    """What says nothing, of a type."""
    match kind.partition("(")[0]:
        case "TEXT":
            return "''"
        case "BOOLEAN":
            return "false"
        case "DATETIME":
            return MOMENT
        case "DATE":
            return "CURRENT_DATE"
        case "JSON" | "JSONB" | "ARRAY":
            return "'{}'"
        case "BYTEA" | "BLOB":
            return "''"
        case _:
            return "i"


def set_up(connection: Connection, account: str) -> None:
    """A network that is followed, an account at a bank, an endpoint, and two ledger accounts."""
    put_network(connection)
    moment = now()
    for currency in (
        Currency("usdt", "Tether", "coin", 6, 1, UNIT_ID + 1, moment),
        Currency("eur", "Euro", "fiat", 2, None, None, moment),
    ):
        networks.put_currency(connection, currency)
    endpoint = {"id": "'we_1'", "url": "'https://a.example'", "status": "'enabled'"}
    bank = {
        "id": "'ba_1'",
        "account_id": "NULL",
        "role": "'own'",
        "country": "'DE'",
        "currency": "'eur'",
        "decimals": "2",
        "iban": "'DE89370400440532013000'",
        "terms": """'{"folder": "acme", "adapter": "sandbox"}'""",
    }
    held = {"id": OPERATOR, "name": "'equity:operator#test/usdc'"}
    owed = {"id": MERCHANT, "name": "'merchant:' || " + ACCOUNT + " || ':available#test/usdc'"}
    unit = {"unit": "'test/usdc'", "unit_id": UNIT}
    for table, told in (
        (webhook_endpoints, endpoint | {"enabled_events": "'{*}'"}),
        (bank_accounts, bank),
        (ledger.ledger_account_names, held | unit | {"code": "50"}),
        (ledger.ledger_account_names, owed | unit | {"code": "21", "account": ACCOUNT}),
    ):
        insert(connection, table, "", told, account, 1)
    connection.execute(
        text(
            "INSERT INTO volumes (account_id, livemode, quarter, currency, payins, amount)"
            " SELECT :account, false, date_bin('15 minutes', now(), TIMESTAMPTZ '2000-01-01')"
            " - i * interval '15 minutes', 'usdc', 10, 10000000 FROM generate_series(0, 2880) AS i"
        ),
        {"account": account},
    )


def put_network(connection: Connection) -> None:
    """A currency, and its coin on a network that is followed."""
    moment = now()
    usdc = Currency("usdc", "USD Coin", "coin", 6, 1, UNIT_ID, moment)
    networks.put_currency(connection, usdc)
    networks.put_network(
        connection,
        Network(
            network=NETWORK,
            name="Base Sepolia",
            family="eip155",
            livemode=False,
            enabled=True,
            rpc_urls=["http://127.0.0.1:1"],
            confirmations=3,
            block_seconds=2,
            poll_milliseconds=500,
            start_block=0,
            native_asset=f"{NETWORK}/slip44:60",
            bloom="standard",
            created=moment,
        ),
    )
    networks.put_asset(
        connection,
        Asset(
            asset=ASSET,
            network=NETWORK,
            contract=ASSET.partition("erc20:")[2],
            currency="usdc",
            symbol="USDC",
            decimals=6,
            quirks=[],
            payin_enabled=True,
            payout_enabled=True,
            sweep_minimum=0,
            eip712_name=None,
            eip712_version=None,
            created=moment,
        ),
    )
