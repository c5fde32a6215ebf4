"""The code that a payer's bank reads (EPC069-12), drawn."""

from sakk.core.bank_account import BankAccount
from sakk.core.bank_reference import BankReference, epc_text
from sakk.core.errors import ParameterInvalid
from sakk.pages.qr import qr


def bank_code(own: BankAccount, reference: BankReference, *, cents: int | None) -> bytes:
    """SVG; ``cents`` None leaves the amount to the payer. ParameterInvalid: euro and IBANs only."""
    if own.currency != "eur" or own.iban is None:
        raise ParameterInvalid("Codes are for euro and IBANs alone.", param="bank_reference")
    told = epc_text(
        holder=own.holder,
        iban=own.iban,
        bic=own.bic,
        reference=reference.reference,
        cents=cents,
    )
    drawn = str(qr(told, label=reference.reference))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode()
