"""The page of the API, from the same description that ``/openapi.json`` serves."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sakk.api.app import ROUTES
from sakk.api.openapi import REF, openapi_document
from sakk.api.route import Route, scopes
from sakk.core.idempotency import KEEP_HOURS, KEY_LENGTH_MAX
from sakk.ledger.types import BATCH_MAX
from sakk.runtime.reference.markdown import code, page, sentence, table
from sakk.store.page import LIMIT_DEFAULT, LIMIT_MAX

Schema = dict[str, Any]

PREFIX = REF.format(model="")
LIST_PARAMETERS = ("limit", "starting_after", "ending_before", "created")
EVERYWHERE = ("expand",)
DEPTH_MAX = 4


def api_page() -> str:
    """Conventions, then every operation by resource, then every object."""
    document = openapi_document(ROUTES)
    schemas: dict[str, Schema] = document["components"]["schemas"]
    operations = {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }
    sections = []
    for resource, routes in groupby(ROUTES, key=lambda route: route.resource):
        sections.append(f"## {resource}")
        sections += [_operation(route, operations[route.operation], schemas) for route in routes]
    return page(
        "API",
        _conventions(),
        *sections,
        "## Without a key",
        table(
            ["request", "answers"],
            [
                [code(f"{method.upper()} {path}"), sentence(operation["summary"])]
                for path, operations in document["paths"].items()
                if not path.startswith("/v1/")
                for method, operation in operations.items()
            ],
        ),
        "## Objects",
        *(_object(name, schemas) for name in _objects(schemas)),
    )


def _conventions() -> str:
    lines = (
        "Requests and answers follow Stripe's conventions; the description for programs is "
        "`GET /openapi.json` (OpenAPI 3.1) of a running server.",
        "- **Key**: `Authorization: Bearer sk_test_…`, or the key as the user name of basic "
        "authentication. A test key sees test rows and test networks only, a live key live ones. "
        "A restricted key (`rk_…`) needs the scope that stands beside each operation.",
        "- **Account**: a key of the operator acts for a merchant with `Stripe-Account: acct_…`.",
        "- **Bodies** are JSON, or forms with brackets: `destination[network]=eip155:8453`, "
        "`enabled_events[]=*`. What is not in the tables is refused (`parameter_unknown`).",
        f"- **Again**: send every POST with an `Idempotency-Key` (1 to {KEY_LENGTH_MAX} printable "
        "ASCII characters). The same key and request give the same answer, and are carried out "
        f"once. Keys are kept for at least {KEEP_HOURS} hours. Postings to the ledger need none: "
        "their ids do the same, for ever.",
        f"- **Lists** are newest first: `limit` (1 to {LIMIT_MAX}, default {LIMIT_DEFAULT}), "
        "`starting_after` and `ending_before` (an id), `created` (`created[gte]`, `[gt]`, "
        '`[lte]`, `[lt]`). They answer `{"object": "list", "url", "has_more", "data"}`.',
        "- **Expand**: `expand[]=customer` puts the object in place of its id, where an operation "
        "names fields that can be.",
        "- **Money** is a whole number of the currency's smallest unit in `amount`, and the same "
        "as a decimal in `amount_decimal`. On-chain amounts are strings of atomic units.",
        "- **Errors**: [errors](errors.md). Every answer carries `Request-Id`.",
        "- **Scopes**: " + ", ".join(code(scope) for scope in scopes(ROUTES)) + ".",
    )
    return lines[0] + "\n\n" + "\n".join(lines[1:])


def _operation(route: Route, operation: Schema, schemas: dict[str, Schema]) -> str:
    notes = [f"Scope {code(route.scope)}."]
    if route.operator_only:
        notes.append("**The operator alone.**")
    if route.secret_key_only:
        notes.append("Secret keys only.")
    if route.is_list:
        notes.append("A list.")
    if route.batch is not None:
        name = next(name for name in route.batch.model_fields if name != "expand")
        notes.append(
            f"One, or up to {BATCH_MAX:,} in a list under {code(name)}; or "
            "[records](ledger-records.md)."
        )
    if route.in_binary is not None:
        notes.append("Also [in binary](ledger-records.md#look-ups).")
    if route.expands:
        notes.append(f"Expands {', '.join(code(name) for name in route.expands)}.")
    blocks = [
        f"### {operation['summary']}",
        f"`{route.method} {route.path}`",
        sentence(operation.get("description", "")),
        " ".join(notes),
        _parameters(route, operation, schemas),
        f"Answers {_returned(route, operation, schemas)}.",
    ]
    return "\n\n".join(block for block in blocks if block)


def _parameters(route: Route, operation: Schema, schemas: dict[str, Schema]) -> str:
    if route.method == "POST":
        content = operation["requestBody"]["content"]["application/json"]["schema"]
        if route.batch is not None:
            content = content["anyOf"][0]
        rows = list(_fields(_resolved(content, schemas), schemas))
    else:
        rows = [
            (
                each["name"],
                _type(each["schema"], schemas),
                each["required"],
                each["schema"].get("description", ""),
            )
            for each in operation["parameters"]
            if each.get("in") == "query"
        ]
    hidden = {*EVERYWHERE, *(LIST_PARAMETERS if route.is_list else ())}
    return table(
        ["parameter", "type", "needed", "meaning"],
        [
            [code(name), kind, "yes" if required else "", sentence(text)]
            for name, kind, required, text in rows
            if name.partition("[")[0] not in hidden
        ],
    )


def _fields(
    schema: Schema, schemas: dict[str, Schema], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str, bool, str]]:
    """Name, type, whether needed, meaning of each field; an object's own fields in brackets.

    Those of the objects of a list stand as those of its first one.
    """
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}[{name}]" if prefix else name
        inner = _resolved(_bare(field), schemas)
        needed = name in schema.get("required", ())
        if inner.get("properties") and depth < DEPTH_MAX:
            yield from _fields(inner, schemas, path, depth + 1)
        elif (item := _resolved(inner.get("items", {}), schemas)).get("properties"):
            yield path, "list of objects", needed, field.get("description", "")
            yield from _fields(item, schemas, f"{path}[0]", depth + 1)
        else:
            yield path, _type(_bare(field), schemas), needed, field.get("description", "")


def _returned(route: Route, operation: Schema, schemas: dict[str, Schema]) -> str:
    if route.is_download:
        return "the bytes of the file, to be saved"
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    found = _resolved(schema, schemas)
    if route.is_list and "data" in found.get("properties", {}):
        return f"a list of {_link(found['properties']['data']['items'], schemas)}"
    return _link(schema, schemas)


def _link(schema: Schema, schemas: dict[str, Schema]) -> str:
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(_link(option, schemas) for option in options)
    reference = schema.get("$ref", "")
    if not reference:
        return _type(schema, schemas)
    name = reference.removeprefix(PREFIX)
    if not schemas[name].get("properties"):
        return _link(schemas[name], schemas)
    return f"[{_title(name, schemas)}](#{_anchor(name)})"


def _objects(schemas: dict[str, Schema]) -> list[str]:
    """The schemas that answers are made of, by name."""
    wanted: list[str] = []

    def visit(schema: Any) -> None:
        if isinstance(schema, dict):
            reference = schema.get("$ref")
            if isinstance(reference, str):
                name = reference.removeprefix(PREFIX)
                if name in schemas and name not in wanted:
                    wanted.append(name)
                    visit(schemas[name])
            for each in schema.values():
                visit(each)
        elif isinstance(schema, list):
            for each in schema:
                visit(each)

    for route in ROUTES:
        if route.is_download:
            continue
        visit({"$ref": PREFIX + _schema_name(route, schemas)})
    return sorted(
        (
            name
            for name in wanted
            if (fields := schemas[name].get("properties")) and "has_more" not in fields
        ),
        key=lambda name: _title(name, schemas),
    )


def _schema_name(route: Route, schemas: dict[str, Schema]) -> str:
    operation = openapi_document([route])["paths"][route.path][route.method.lower()]
    schema: Schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    reference: str = schema["$ref"]
    return reference.removeprefix(PREFIX)


def _object(name: str, schemas: dict[str, Schema]) -> str:
    schema = schemas[name]
    rows = [
        [code(field), _type(shown, schemas), sentence(shown.get("description", ""))]
        for field, shown in schema.get("properties", {}).items()
    ]
    blocks = [
        f'<a id="{_anchor(name)}"></a>\n\n### {_title(name, schemas)}',
        sentence(schema.get("description", "")),
        table(["field", "type", "meaning"], rows),
    ]
    return "\n\n".join(block for block in blocks if block)


def _title(name: str, schemas: dict[str, Schema]) -> str:
    """The object's own name where it says one."""
    said = schemas[name].get("properties", {}).get("object", {}).get("const")
    return str(said) if said else name.removesuffix("Shape")


def _anchor(name: str) -> str:
    return f"object-{name.lower()}"


def _resolved(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    return schemas[reference.removeprefix(PREFIX)] if reference else schema


def _bare(schema: Schema) -> Schema:
    """A field without its null: in a request that is the same as leaving it out."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return options[0] if len(options) == 1 else schema


def _type(schema: Schema, schemas: dict[str, Schema]) -> str:
    """A schema in a few words."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_type(option, schemas) for option in options))
    if "$ref" in schema:
        found = _resolved(schema, schemas)
        return _type(found, schemas) if "enum" in found else _link(schema, schemas)
    if "const" in schema:
        return code(str(schema["const"]).replace("True", "true"))
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(_bare(schema['additionalProperties']), schemas)}"
    return kind
