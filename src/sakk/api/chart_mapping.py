"""The mapping of the ledger's accounts to an accountant's chart, in versions."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document
from sakk.api.parameters import Parameters, Strict
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Shape
from sakk.core import chart_mapping as rules
from sakk.core.chart_mapping import AccountType, MappingRule
from sakk.flow import chart_mapping as flow

resource = Resource("chart_mappings")

Type = Literal["asset", "liability", "equity", "income", "expense"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=rules.TEXT_LENGTH_MAX)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=rules.PATTERN_LENGTH_MAX)]


class MappingRuleParameters(Strict):
    """Ledger accounts of a pattern, in which `*` is any characters, are this account."""

    pattern: Pattern
    code: Text
    name: Text
    type: Type


class ChartMappingCreate(Parameters):
    """The rules, whole; of those that fit the first decides."""

    rules: Annotated[list[MappingRuleParameters], Field(min_length=1, max_length=rules.RULES_MAX)]


class MappingRuleShape(Shape):
    """One rule."""

    pattern: str
    code: str
    name: str
    type: AccountType


class ChartMappingShape(Shape):
    """One version; version 0 is built in."""

    id: str
    object: Literal["chart_mapping"]
    created: Created
    created_by: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    rules: list[MappingRuleShape]
    version: int


@resource.post(
    "/v1/chart_mappings",
    returns=ChartMappingShape,
    operation="create_chart_mapping",
    operator_only=True,
)
def create(context: Context, body: ChartMappingCreate) -> Document:
    """Write the next version of the mapping; reports that are asked for from now on follow it."""
    written = [
        MappingRule(each.pattern, each.code, each.name, AccountType(each.type))
        for each in body.rules
    ]
    made = flow.put(context.connection, written, by=context.actor.signature, now=context.now)
    return rules.public(made)


@resource.get(
    "/v1/chart_mappings/{chart_mapping}",
    returns=ChartMappingShape,
    operation="retrieve_chart_mapping",
    operator_only=True,
)
def retrieve(context: Context, chart_mapping: str) -> Document:
    """Retrieve a version by its number, or the one in force as `active`."""
    return rules.public(flow.find(context.connection, chart_mapping))
