# cython: language_level=3
"""A call at a fixed price, as one object from what is asked to how it ends.

``sakk.paywall.session.SessionTaken`` and ``sakk.paywall.answer.Answer`` are the specification.
"""

from sakk.paywall.answer import is_kept_from_many, is_of_many, privately
from sakk.paywall.compiled.record import end_record, told, voucher_end, voucher_told
from sakk.paywall.payment import Payment

cdef enum:
    COMMIT = 2
    RELEASE = 3
    FAILED_STATUS = 400

cdef object WHOLE = (1 << 128) - 1


cdef class Answered:
    """A call that is asked for, then reserved, then answered; how it ends is a subclass's."""

    cdef readonly object asked
    cdef readonly object payment
    cdef readonly bint is_good
    cdef object offer, units
    cdef object answered, receiving, sending
    cdef bint is_gone, is_ended

    def answer(self, object receive, object send):
        """Its answer on its way to the client."""
        self.receiving = receive
        self.sending = send
        return self

    async def receive(self):
        """The application's ``receive``: it is noticed when the client goes."""
        message = await self.receiving()
        if message["type"] == "http.disconnect":
            self.is_gone = True
        return message

    def send(self, object message):
        """The application's ``send``. What needs nothing of us is the server's to send."""
        if self.is_good or message["type"] != "http.response.start":
            return self.sending(message)
        return self.begin(message)

    async def begin(self, object message):
        """The head: with it the call is due, where it is good."""
        cdef bint is_good = message["status"] < FAILED_STATUS
        message["headers"] = dressed(message.get("headers", ()), self.answered if is_good else None)
        await self.sending(message)
        if is_good and not self.is_gone:
            self.is_good = True
            self.over(bool(self.units))

    def close(self):
        """The application is done: what was not served was never paid."""
        if not self.is_good:
            self.over(False)

    cdef int over(self, bint takes) except -1:
        if not self.is_ended:
            self.is_ended = True
            self.offer.charges.finish(self.end(takes))
        return 0

    cdef bytes end(self, bint takes):
        raise NotImplementedError


cdef class Call(Answered):
    """One call of a session."""

    cdef object session, nonce, amount, request

    def __init__(
        self,
        object offer,
        object units not None,
        object session,
        object nonce not None,
        object amount not None,
        bytes request not None,
        object asked,
    ) -> None:
        self.offer = offer
        self.units = units
        self.session = session
        self.nonce = nonce
        self.amount = amount
        self.request = request
        self.asked = asked

    def hear(self, bytes result not None):
        """What the Sakk said of it."""
        if result[0]:
            return self.offer.refused(result[0])
        self.answered, payer = told(
            self.session.start, self.session.go_on, self.nonce, self.amount, self.request, result
        )
        self.payment = Payment(
            "session",
            self.offer.network,
            self.offer.currency,
            self.amount,
            payer,
            f"{self.session.identifier}:{self.nonce}",
            None,
        )
        return None

    cdef bytes end(self, bint takes):
        cdef object amount = 0
        if takes:
            amount = WHOLE if self.units == self.amount else self.units
        return end_record(
            COMMIT if takes else RELEASE, self.session.key, self.nonce, amount, 0
        )


cdef class VoucherCall(Answered):
    """One call by a voucher at a fixed price, without a deposit.

    ``sakk.paywall.escrow.EscrowTaken`` is the specification.
    """

    cdef bytes record, result

    def __init__(
        self, object offer, object units not None, bytes record not None, object asked
    ) -> None:
        self.offer = offer
        self.units = units
        self.record = record
        self.asked = asked

    def is_reserved(self, bytes result not None) -> bool:
        """Did the Sakk reserve it? Where not, the way at length says why."""
        if result[0]:
            return False
        self.result = result
        self.answered, payer, transaction = voucher_told(self.offer.told, self.record, result)
        self.payment = Payment(
            "batch-settlement",
            self.offer.network,
            self.offer.currency,
            self.units,
            payer,
            transaction,
            None,
        )
        return True

    cdef bytes end(self, bint takes):
        return voucher_end(self.record, self.result, takes)


cdef list dressed(object given, object answered):
    """The head's fields with the receipt, without the meter's, and never for shared caches."""
    cdef list headers = []
    cdef bint is_private = False
    for name, value in given:
        lower = name.lower()
        if lower == b"cache-control":
            is_private = True
            if not is_kept_from_many(value):
                name, value = lower, privately(value)
        elif lower == b"sakk-usage" or is_of_many(lower):
            continue
        headers.append((name, value))
    if not is_private:
        headers.append((b"cache-control", b"private"))
    if answered is not None:
        headers.append((b"payment-response", answered))
    return headers
