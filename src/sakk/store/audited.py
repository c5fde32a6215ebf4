"""Which tables are audited, and the triggers that note every change of them.

A trigger and no call in our code: nobody can forget it, and a change that is made by hand in SQL is
noted as well. ``install`` runs after every migration, so a table is audited by one line here.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

VERSIONED: Final = ("recorded_to", "closed_version")


@dataclass(frozen=True, slots=True)
class Audited:
    """How a table's rows are noted.

    ``key``: the columns that name a row. ``subject``: the column that says what it is about, the
    key by default. ``secret``: columns of which the hash is noted. ``quiet``: columns that are not
    noted at all. ``bulk``: rows come by the hundred and never change. ``updates_only``: so that the
    log does not know the rows whole.
    """

    key: tuple[str, ...] = ("id",)
    subject: str | None = None
    secret: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    bulk: bool = False
    updates_only: bool = False

    @property
    def arguments(self) -> tuple[str, str, str, str]:
        """What the trigger is given."""
        subject = self.subject or (self.key[0] if len(self.key) == 1 else "")
        return ",".join(self.key), subject, ",".join(self.secret), ",".join(self.quiet)


AUDITED: Final[dict[str, Audited]] = {
    "accounts": Audited(),
    "aliases": Audited(secret=("code_hash",)),
    "api_keys": Audited(secret=("token_hash",)),
    "approvals": Audited(subject="subject"),
    "assets": Audited(key=("asset",)),
    "bank_account_changes": Audited(key=("bank_account",), secret=("secret",)),
    "bank_accounts": Audited(secret=("secret",)),
    "bank_assignments": Audited(key=("line",)),
    "bank_references": Audited(),
    "bank_returns": Audited(subject="line"),
    "beneficiaries": Audited(),
    "break_acts": Audited(subject="break_id"),
    "breaks": Audited(
        quiet=("last_run", "attempt", "failures", "retry_at", "lease_token", "lease_until")
    ),
    "brandings": Audited(key=("account_id",), secret=("logo",)),
    "case_acts": Audited(subject="case_id"),
    # What a person wrote down or attached stays where it is; the log has its hash.
    "case_attachments": Audited(subject="case_id", secret=("content",)),
    "case_notes": Audited(subject="case_id", secret=("text",)),
    "chart_mappings": Audited(key=("version",)),
    "case_settings": Audited(key=("livemode",)),
    "cases": Audited(subject="subject"),
    "connected_accounts": Audited(),
    "conversion_terms": Audited(key=("account_id", "livemode"), subject="account_id"),
    "currencies": Audited(key=("currency",)),
    "day_acceptances": Audited(subject="date"),
    "exposure_imports": Audited(key=("network", "asset", "sha256"), subject="asset"),
    "factories": Audited(key=("network", "address"), subject="address"),
    "fee_schedules": Audited(),
    "fee_versions": Audited(key=("schedule", "version"), subject="schedule"),
    "freeze_lifts": Audited(subject="freeze"),
    "freezes": Audited(),
    "gift_card_batches": Audited(quiet=("status", "rejected")),
    "gift_card_breakages": Audited(subject="country"),
    "gift_cards": Audited(secret=("code_hash",), quiet=("balance",)),
    "hedge_policies": Audited(key=("currency", "livemode"), subject="currency"),
    "hedge_proposals": Audited(key=("currency", "livemode"), subject="currency"),
    "hubs": Audited(key=("network",)),
    # What is answered stays where it is; the log has its hash.
    "information_ends": Audited(key=("request_id",), secret=("text",)),
    "information_requests": Audited(subject="case_id"),
    "invitations": Audited(subject="person", secret=("token_hash", "code_digest")),
    "key_rotations": Audited(subject="source", quiet=("left",)),
    "label_imports": Audited(subject="list_id"),
    "label_lists": Audited(),
    # Of what was signed the log has the hash; the terms stand in it as they are shown.
    "mandates": Audited(secret=("signed",)),
    "name_exemptions": Audited(subject="subject"),
    "name_screenings": Audited(subject="subject", bulk=True),
    # rpc_urls hold their providers' keys.
    "networks": Audited(key=("network",), secret=("rpc_urls",)),
    "nonces": Audited(key=("network", "sender"), subject="sender", updates_only=True),
    "orders": Audited(
        quiet=("attempt", "failures", "retry_at", "lease_token", "lease_until"),
    ),
    "owner_keys": Audited(),
    "parties": Audited(),
    "party_acts": Audited(subject="party_id"),
    "party_contents": Audited(key=("document_id",), secret=("sealed",)),
    "party_documents": Audited(subject="party_id"),
    "party_hits": Audited(subject="party_id"),
    "party_links": Audited(subject="of_party"),
    "party_revisions": Audited(key=("party_id", "revision"), subject="party_id"),
    "passkeys": Audited(subject="person", quiet=("sign_count", "used_at")),
    "person_accounts": Audited(key=("person", "account_id"), subject="person"),
    "payment_links": Audited(secret=("token_hash",), quiet=("uses",)),
    "persons": Audited(
        secret=("totp_secret", "password_hash"),
        quiet=("totp_step", "totp_failures", "totp_locked_until"),
    ),
    "policies": Audited(),
    "recovery_codes": Audited(key=("person", "number"), subject="person", secret=("digest",)),
    "pos_devices": Audited(secret=("pairing_hash", "token_hash")),
    "refills": Audited(quiet=("failure_code", "failures", "retry_at")),
    "regimes": Audited(),
    "restores": Audited(quiet=("next_index", "imported")),
    "rate_pegs": Audited(key=("currency",), quiet=("recovered_since",)),
    "rate_sources": Audited(
        quiet=(
            *("state", "error", "checked", "next_at", "attempt", "failures", "retry_at"),
            *("lease_token", "lease_until"),
        ),
    ),
    "provider_answers": Audited(subject="order_id", secret=("text", "sealed"), quiet=("sent_at",)),
    "rules_in_force": Audited(key=("livemode",)),
    "screening_rules": Audited(),
    "screenings": Audited(subject="subject", bulk=True),
    "products": Audited(secret=("picture",), quiet=("stock",)),
    # They are opened by the thousand, by agents; that one is ended is somebody's act.
    "sessions": Audited(subject="channel_id", updates_only=True),
    "settlement_schedules": Audited(subject="account_id", quiet=("next_number", "next_at")),
    "shops": Audited(),
    # Which page somebody looks at is no act; that they came, proved themselves and went is.
    "sign_ins": Audited(
        subject="person", secret=("token_hash",), quiet=("seen_at", "account_id", "flash")
    ),
    # Who stands behind a payment is the Travel Rule's to tell; the log has the hash.
    "travel_parties": Audited(
        key=("account_id", "livemode"), subject="account_id", secret=("person",)
    ),
    # An announcement of money to come has no subject yet.
    "travel_rules": Audited(secret=("payload", "token_hash", "peer_callback"), bulk=True),
    "treasury_targets": Audited(key=("asset",)),
    "vasps": Audited(),
    "venue_keys": Audited(key=("name", "number"), subject="name", secret=("secret",)),
    "venues": Audited(key=("name",), secret=("secret",)),
    "vaults": Audited(key=("network", "address"), subject="address"),
    "webhook_endpoints": Audited(secret=("secret", "previous_secret"), quiet=("failing_since",)),
}

# Tables of rows that are opened and closed under a version, by the million: of each statement the
# number and a hash of its rows are noted, not the rows. The columns that are hashed are in the
# entry, so that a column which comes later changes nothing.
VERSIONED_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "entities": (
        "id",
        "entity_id",
        "list_id",
        "ref",
        "kind",
        "name",
        "content",
        "valid_from",
        "valid_to",
        "recorded_from",
        "opened_version",
    ),
    "labels": (
        "id",
        "list_id",
        "family",
        "address",
        "category",
        "confidence",
        "entity",
        "actor",
        "source",
        "valid_from",
        "valid_to",
        "recorded_from",
        "opened_version",
    ),
}
CLOSING: Final = ("id", "recorded_to", "closed_version")

# Times and bytes have one text, whatever the session that changes a row has set.
_FUNCTIONS: Final = (
    """
CREATE OR REPLACE FUNCTION sakk_audit_row(noted jsonb, secret text[], quiet text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
BEGIN
    noted := noted - quiet;
    FOREACH name IN ARRAY secret LOOP
        IF noted ->> name IS NOT NULL THEN
            noted := jsonb_set(noted, ARRAY[name], to_jsonb('sha256:' || encode(
                sha256(convert_to(noted ->> name, 'UTF8')), 'hex')));
        END IF;
    END LOOP;
    RETURN noted;
END
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_key(noted jsonb, names text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(noted ->> name, ' ' ORDER BY place)
    FROM unnest(names) WITH ORDINALITY AS each (name, place)
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_change() RETURNS trigger LANGUAGE plpgsql
SET timezone TO 'UTC' SET bytea_output TO 'hex' AS $$
DECLARE
    names text[] := string_to_array(TG_ARGV[0], ',');
    secret text[] := string_to_array(TG_ARGV[2], ',');
    quiet text[] := string_to_array(TG_ARGV[3], ',');
    was jsonb;
    became jsonb;
    whole jsonb;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := sakk_audit_row(to_jsonb(OLD), secret, quiet);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        became := sakk_audit_row(to_jsonb(NEW), secret, quiet);
    END IF;
    whole := coalesce(became, was);
    IF TG_OP = 'UPDATE' THEN
        IF was = became THEN
            RETURN NULL;
        END IF;
        SELECT jsonb_object_agg(key, was -> key), jsonb_object_agg(key, value)
        INTO was, became
        FROM jsonb_each(became) WHERE was -> key IS DISTINCT FROM value;
    END IF;
    INSERT INTO audit_inbox (source, act, key, subject, before, after)
    VALUES (TG_TABLE_NAME, lower(TG_OP), sakk_audit_key(whole, names),
        coalesce(whole ->> nullif(TG_ARGV[1], ''), sakk_audit_key(whole, names)), was, became);
    RETURN NULL;
END
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_rows() RETURNS trigger LANGUAGE plpgsql
SET timezone TO 'UTC' SET bytea_output TO 'hex' AS $$
DECLARE
    names text[] := string_to_array(TG_ARGV[0], ',');
    secret text[] := string_to_array(TG_ARGV[2], ',');
    quiet text[] := string_to_array(TG_ARGV[3], ',');
BEGIN
    -- Where a key is one column and no column is hidden, nothing is called for each row. OFFSET 0:
    -- a row is made a document once, and not where it is used.
    INSERT INTO audit_inbox (source, act, key, subject, after)
    SELECT TG_TABLE_NAME, 'insert',
        CASE WHEN cardinality(names) = 1 THEN noted ->> names[1]
            ELSE sakk_audit_key(noted, names) END,
        noted ->> TG_ARGV[1],
        CASE WHEN cardinality(secret) + cardinality(quiet) = 0 THEN noted
            ELSE sakk_audit_row(noted, secret, quiet) END
    FROM (SELECT to_jsonb(added) AS noted FROM added OFFSET 0) AS each;
    RETURN NULL;
END
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_versions() RETURNS trigger LANGUAGE plpgsql
SET timezone TO 'UTC' SET bytea_output TO 'hex' AS $$
DECLARE
    closing text[] := string_to_array(TG_ARGV[1], ',');
    columns text[] := CASE TG_OP WHEN 'UPDATE' THEN closing
        ELSE string_to_array(TG_ARGV[0], ',') END;
    version text := CASE TG_OP WHEN 'UPDATE' THEN 'closed_version' ELSE 'opened_version' END;
BEGIN
    EXECUTE format(
        'INSERT INTO audit_inbox (source, act, key, subject, after)'
        ' SELECT %L, %L, coalesce(%I, 0)::text, %L, jsonb_build_object(''columns'', %L::jsonb,'
        ' ''rows'', count(*), ''sha256'', encode(sha256(string_agg(sha256(convert_to('
        ' jsonb_build_array(%s)::text, ''UTF8'')), ''''::bytea ORDER BY id)), ''hex''))'
        ' FROM changed GROUP BY %I',
        TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN 'open' WHEN 'UPDATE' THEN 'close'
            ELSE 'delete' END,
        version, TG_TABLE_NAME, to_jsonb(columns)::text, array_to_string(columns, ', '), version);
    RETURN NULL;
END
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_inbox (source, act, key, subject)
    VALUES (TG_TABLE_NAME, 'truncate', '', TG_TABLE_NAME);
    RETURN NULL;
END
$$
""",
    """
CREATE OR REPLACE FUNCTION sakk_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows are only added to %: % is refused', TG_TABLE_NAME, TG_OP;
END
$$
""",
)
# What is written once for good: the log itself, and what an auditor is shown of a closed day.
SEALED_TABLES: Final = ("audit_entries", "audit_blocks", "reconciliations", "days")


def install(connection: Connection) -> None:
    """Make functions and triggers as they are written here; a table that is new is noted whole.

    Runs in the migration's transaction: what is there then is the log's beginning. Tables whose
    migration is still to be written are left for the next time.
    """
    if not _exists(connection, "audit_inbox"):
        return
    connection.execute(text("SET LOCAL timezone TO 'UTC'"))
    connection.execute(text("SET LOCAL bytea_output TO 'hex'"))
    for function in _FUNCTIONS:
        connection.execute(text(function))
    for table, audited in AUDITED.items():
        _install(connection, table, _triggers(table, audited), _baseline(table, audited))
    for table, columns in VERSIONED_TABLES.items():
        _install(connection, table, _versioned_triggers(table, columns), _versions(table, columns))
    for table in SEALED_TABLES:
        refuse = (
            f"CREATE TRIGGER sakk_audit BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION sakk_audit_refuse()"
        )
        _install(connection, table, [refuse], [])


def missing_triggers(connection: Connection) -> list[str]:
    """The audited tables whose triggers are gone, disabled or of another time."""
    tables = [*AUDITED, *VERSIONED_TABLES, *SEALED_TABLES]
    rows = connection.execute(
        text(
            "SELECT tgrelid::regclass::text AS name, count(*) FILTER (WHERE tgenabled = 'O') AS on,"
            " count(*) AS all FROM pg_trigger WHERE tgname LIKE 'sakk\\_audit%'"
            " AND NOT tgisinternal GROUP BY tgrelid"
        )
    )
    standing = {row.name: (row.on, row.all) for row in rows}
    wanted = {table: len(_statements(table)) for table in tables}
    return [table for table in tables if standing.get(table) != (wanted[table], wanted[table])]


def current_rows(table: str) -> str:
    """A query of the rows of an audited table as they are noted: key and document, by key."""
    key, _, secret, quiet = AUDITED[table].arguments
    return (
        f"SELECT sakk_audit_key(noted, string_to_array('{key}', ',')) COLLATE \"C\" AS key,"  # noqa: S608
        f" sakk_audit_row(noted, string_to_array('{secret}', ','),"
        f" string_to_array('{quiet}', ','))::text AS noted"
        f" FROM (SELECT to_jsonb(each) AS noted FROM {table} AS each) AS rows ORDER BY 1"
    )


def version_hashes(table: str, version: str, columns: tuple[str, ...]) -> str:
    """A query of what a versioned table holds: per version the number and the hash of its rows."""
    return (
        f"SELECT {version} AS version, count(*) AS rows, encode(sha256(string_agg("  # noqa: S608
        "sha256("
        f"convert_to(jsonb_build_array({', '.join(columns)})::text, 'UTF8')), ''::bytea"
        f" ORDER BY id)), 'hex') AS sha256 FROM {table} WHERE {version} IS NOT NULL"
        f" GROUP BY {version}"
    )


def _install(
    connection: Connection, table: str, statements: list[str], baseline: list[str]
) -> None:
    if not _exists(connection, table):
        return
    digest = hashlib.sha256("\n".join([*statements, *baseline]).encode()).hexdigest()
    found = connection.execute(
        text(
            "SELECT tgname, obj_description(oid, 'pg_trigger') AS digest FROM pg_trigger"
            " WHERE tgrelid = to_regclass(:name) AND tgname LIKE 'sakk\\_audit%'"
        ),
        {"name": table},
    ).all()
    if [row.digest for row in found if row.digest is not None] == [digest]:
        return
    for row in found:
        connection.execute(text(f"DROP TRIGGER {row.tgname} ON {table}"))
    for statement in statements:
        connection.execute(text(statement))
    connection.execute(text(f"COMMENT ON TRIGGER sakk_audit ON {table} IS '{digest}'"))
    for statement in baseline:
        connection.execute(text(statement))


def _exists(connection: Connection, table: str) -> bool:
    found = connection.execute(text("SELECT to_regclass(:name)"), {"name": table})
    return found.scalar_one() is not None


def _statements(table: str) -> list[str]:
    if table in AUDITED:
        return _triggers(table, AUDITED[table])
    if table in VERSIONED_TABLES:
        return _versioned_triggers(table, VERSIONED_TABLES[table])
    return [""]


def _triggers(table: str, audited: Audited) -> list[str]:
    given = ", ".join(f"'{each}'" for each in audited.arguments)
    change = f"FOR EACH ROW EXECUTE FUNCTION sakk_audit_change({given})"
    acts = "UPDATE OR DELETE" if audited.bulk else "INSERT OR UPDATE OR DELETE"
    if audited.updates_only:
        acts = "UPDATE"
    made = [f"CREATE TRIGGER sakk_audit AFTER {acts} ON {table} {change}", _truncate(table)]
    if audited.bulk:
        made.append(
            f"CREATE TRIGGER sakk_audit_added AFTER INSERT ON {table}"
            " REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
            f" EXECUTE FUNCTION sakk_audit_rows({given})"
        )
    return made


def _baseline(table: str, audited: Audited) -> list[str]:
    if audited.updates_only:
        return []
    key, subject, secret, quiet = audited.arguments
    keyed = f"sakk_audit_key(noted, string_to_array('{key}', ','))"
    about = f"coalesce(noted ->> '{subject}', {keyed})" if subject else keyed
    return [
        "INSERT INTO audit_inbox (source, act, key, subject, after)"  # noqa: S608
        f" SELECT '{table}', 'baseline', {keyed}, {about},"
        f" sakk_audit_row(noted, string_to_array('{secret}', ','), string_to_array('{quiet}', ','))"
        f" FROM (SELECT to_jsonb(each) AS noted FROM {table} AS each) AS rows"
    ]


def _versioned_triggers(table: str, columns: tuple[str, ...]) -> list[str]:
    given = f"'{','.join(columns)}', '{','.join(CLOSING)}'"
    made = [
        f"CREATE TRIGGER {name} AFTER {act} ON {table} REFERENCING {side} TABLE AS changed"
        f" FOR EACH STATEMENT EXECUTE FUNCTION sakk_audit_versions({given})"
        for name, act, side in (
            ("sakk_audit", "INSERT", "NEW"),
            ("sakk_audit_closed", "UPDATE", "NEW"),
            ("sakk_audit_deleted", "DELETE", "OLD"),
        )
    ]
    return [*made, _truncate(table)]


def _versions(table: str, columns: tuple[str, ...]) -> list[str]:
    return [
        "INSERT INTO audit_inbox (source, act, key, subject, after)"  # noqa: S608
        f" SELECT '{table}', '{act}', version::text, '{table}', jsonb_build_object('columns',"
        f" to_jsonb(string_to_array('{','.join(names)}', ',')), 'rows', rows, 'sha256', sha256)"
        f" FROM ({version_hashes(table, version, names)}) AS each"
        for act, version, names in (
            ("open", "opened_version", columns),
            ("close", "closed_version", CLOSING),
        )
    ]


def _truncate(table: str) -> str:
    return (
        f"CREATE TRIGGER sakk_audit_truncated AFTER TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION sakk_audit_truncate()"
    )
