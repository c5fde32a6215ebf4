"""pain.002: what a bank says of a file of orders, and of each (ISO 20022 payment status report)."""

from typing import Final

from sakk.core.xml import Node
from sakk.rails.bank.reader import PAYMENTS_MAX, PaymentStatus, StatusReport, Unreadable, kept
from sakk.rails.bank.reader import records as read_records

_RECORDS: Final = frozenset(
    {"GrpHdr", "OrgnlGrpInfAndSts", "PmtInfSts", "StsRsnInf", "TxInfAndSts"}
)


def read_pain002(content: bytes) -> StatusReport:
    """What a status report says; Unreadable.

    What is said of a whole batch of the message counts as said of the message: there is one batch
    in each of ours.
    """
    message, code, why = "", None, Node("StsRsnInf", 0)
    payments: list[PaymentStatus] = []
    for node in read_records(content, _RECORDS):
        match node.name:
            case "OrgnlGrpInfAndSts":
                message = node.word("OrgnlMsgId")
                code = node.word("GrpSts") or code
                why = next(iter(node.all("StsRsnInf")), why)
            case "PmtInfSts":
                code = node.text.strip() or code
            case "StsRsnInf":
                why = node
            case "TxInfAndSts":
                reason, words = _reason(next(iter(node.all("StsRsnInf")), why))
                payments.append(
                    PaymentStatus(
                        end_to_end_id=node.word("OrgnlEndToEndId"),
                        code=node.word("TxSts") or code or "",
                        reason_code=reason,
                        reason=words,
                    )
                )
                if len(payments) > PAYMENTS_MAX:
                    raise Unreadable(f"line {node.line}: more than {PAYMENTS_MAX} payments")
            case _:
                pass
    if not message:
        raise Unreadable("it names no original message")
    reason, words = _reason(why)
    return StatusReport(
        message_id=message,
        code=code,
        reason_code=reason,
        reason=words,
        payments=tuple(payments),
    )


def _reason(node: Node) -> tuple[str | None, str | None]:
    code = node.word("Rsn", "Cd") or node.word("Rsn", "Prtry")
    return kept(code), kept(" ".join(node.words("AddtlInf")))
