"""Reports: what is asked for, who may ask for it, and how far it has come.

A report is a job: it waits until the ledger's rows reach the end of its period, is written in parts
of bounded size, and ends as one signed file or as none. ``pending → running → succeeded``, or
``failed``, or ``canceled``. Stripe's ``reporting.report_run`` is its model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid, ParameterMissing, PermissionDenied
from sakk.core.money import UNITS_MAX

PREFIX: Final = "rpt"
# Of one account at a time, so that nobody's reports keep the others' waiting.
OPEN_MAX: Final = 5

TAX_PPM_MAX: Final = 1_000_000
MILLION: Final = 1_000_000
# So often one is begun again after its worker died; then something is wrong with the report.
ATTEMPTS_MAX: Final = 5


class ReportKind(StrEnum):
    """What a report says."""

    general_ledger = "general_ledger"
    trial_balance = "trial_balance"
    merchant_statement = "merchant_statement"
    fees = "fees"
    volumes = "volumes"
    travel_rule = "travel_rule"
    large_values = "large_values"


class ReportForm(StrEnum):
    """How it says it."""

    csv = "csv"
    jsonl = "jsonl"
    beancount = "beancount"


class ReportStatus(StrEnum):
    """Where it stands."""

    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    canceled = "canceled"


OPEN: Final = (ReportStatus.pending.value, ReportStatus.running.value)
# What a merchant may ask about itself. The rest is the books of the house, or would tell a suspect
# what is looked at.
MERCHANTS: Final = frozenset({ReportKind.merchant_statement, ReportKind.fees, ReportKind.volumes})
# Read of the ledger's rows, which may be behind; the others are of rows that are there at once.
FROM_LEDGER: Final = frozenset(
    {ReportKind.general_ledger, ReportKind.trial_balance, ReportKind.merchant_statement}
)
# From the accountant's chart, of which there is a version in force.
BY_CHART: Final = frozenset({ReportKind.general_ledger, ReportKind.trial_balance})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportParameters:
    """What was asked: the period is after or at ``start`` and before ``end``.

    ``account``: of which one; None is all of them. ``detail``: a line for each ledger account, and
    not for each account of the chart. ``tax_ppm``: of the tax that fees include, in millionths.
    ``threshold``: units of ``currency`` from which a value is large.
    """

    start: datetime
    end: datetime
    account: str | None = None
    currency: str | None = None
    detail: bool = False
    tax_ppm: int = 0
    threshold: int | None = None

    def document(self) -> dict[str, Any]:
        """As it is stored and shown; Stripe's names for the period."""
        return {
            "account": self.account,
            "currency": self.currency,
            "detail": self.detail,
            "interval_end": int(self.end.timestamp()),
            "interval_start": int(self.start.timestamp()),
            "tax_ppm": self.tax_ppm,
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One job. ``mapping``: the version of the chart that it is written by.

    ``rows`` of ``rows_total`` are written; the total is None until it was counted.
    """

    id: str
    account_id: str
    livemode: bool
    kind: str
    form: str
    status: str
    parameters: dict[str, Any]
    mapping: int | None
    rows: int
    rows_total: int | None
    file: str | None
    failure_code: str | None
    failure_message: str | None
    requested_by: str | None
    metadata: dict[str, str]
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    ended_at: datetime | None = None
    created: datetime


def read_parameters(document: Mapping[str, Any]) -> ReportParameters:
    """The parameters in a stored document."""
    rest = {name: document[name] for name in document if not name.startswith("interval_")}
    return ReportParameters(
        start=datetime.fromtimestamp(document["interval_start"], UTC),
        end=datetime.fromtimestamp(document["interval_end"], UTC),
        **rest,
    )


def check(
    kind: ReportKind,
    form: ReportForm,
    parameters: ReportParameters,
    *,
    is_operator: bool,
    currencies: Mapping[str, int],
    now: datetime,
) -> None:
    """ParameterInvalid, ParameterMissing or PermissionDenied for what can not be reported.

    ``is_operator``: asked with the operator's own account, which sees all of them.
    """
    if not is_operator and kind not in MERCHANTS:
        raise PermissionDenied(
            "Only the operator's own account may ask for this report: {kind}.", kind=kind.value
        )
    if form is ReportForm.beancount and kind is not ReportKind.general_ledger:
        raise ParameterInvalid(
            "Only the general ledger is written for Beancount: use csv or jsonl.", param="format"
        )
    _check_period(parameters, now)
    if parameters.currency is not None and parameters.currency not in currencies:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="parameters[currency]",
            currency=repr(parameters.currency),
        )
    if kind is ReportKind.merchant_statement:
        _needed(parameters.account, "account", kind)
        _needed(parameters.currency, "currency", kind)
    if kind is ReportKind.large_values:
        _needed(parameters.threshold, "threshold", kind)
        _needed(parameters.currency, "currency", kind)
    if kind in BY_CHART and parameters.account is not None:
        raise ParameterInvalid(
            "The books are of all accounts together: leave the account out, or ask for its"
            " statement.",
            param="parameters[account]",
        )
    if parameters.threshold is not None and not 0 < parameters.threshold <= UNITS_MAX:
        raise ParameterInvalid(
            "The threshold is a whole number of the currency's smallest unit, above 0.",
            param="parameters[threshold]",
        )
    if not 0 <= parameters.tax_ppm <= TAX_PPM_MAX:
        raise ParameterInvalid(
            "A rate of tax is 0 to 1000000 millionths: 190000 is 19 %.",
            param="parameters[tax_ppm]",
        )


def _check_period(parameters: ReportParameters, now: datetime) -> None:
    if parameters.end > now:
        raise ParameterInvalid(
            "The period is not over: name an end that has passed, or leave it out for now.",
            param="parameters[interval_end]",
        )
    if not parameters.start < parameters.end:
        raise ParameterInvalid(
            "The period begins before it ends.", param="parameters[interval_start]"
        )


def _needed(value: object, name: str, kind: ReportKind) -> None:
    if value is None:
        raise ParameterMissing(
            "The report {kind} needs {name}.",
            param=f"parameters[{name}]",
            kind=kind.value,
            name=name,
        )


def tax_within(amount: int, tax_ppm: int) -> tuple[int, int]:
    """An amount that includes a tax, as net and tax; their sum is the amount.

    The tax is rounded half up in its absolute value, so that what goes back is the mirror of what
    was charged.
    """
    sign, units = (-1, -amount) if amount < 0 else (1, amount)
    whole = MILLION + tax_ppm
    tax = sign * ((2 * units * tax_ppm + whole) // (2 * whole))
    return amount - tax, tax


def file_name(report: Report) -> str:
    """The name under which a report is saved: what, until when, and its own end."""
    until = datetime.fromtimestamp(report.parameters["interval_end"], UTC)
    return f"{report.kind}-{until:%Y-%m-%d}-{report.id[-6:]}.{report.form}"


def progress_percent(report: Report) -> int:
    """How much of a report is written, in whole percent; 100 only when it is done."""
    if report.status == ReportStatus.succeeded:
        return 100
    if not report.rows_total:
        return 0
    return min(99, 100 * report.rows // report.rows_total)


def public(report: Report, file: dict[str, Any] | None) -> dict[str, Any]:
    """The API's object ``report``; ``file`` is its result, while that is kept."""
    ended = report.ended_at
    return {
        "id": report.id,
        "object": "report",
        "created": int(report.created.timestamp()),
        "ended_at": None if ended is None else int(ended.timestamp()),
        "failure_code": report.failure_code,
        "failure_message": report.failure_message,
        "format": report.form,
        "livemode": report.livemode,
        "mapping": report.mapping,
        "metadata": report.metadata,
        "parameters": report.parameters,
        "progress_percent": progress_percent(report),
        "report_type": report.kind,
        "result": file,
        "rows": report.rows,
        "rows_total": report.rows_total,
        "status": report.status,
    }
