# cython: language_level=3
"""A session's call at a fixed price, as one object from what is asked to how it ends.

``sakk.paywall.session.SessionTaken`` and ``sakk.paywall.answer.Answer`` are the specification.
"""

from sakk.paywall.answer import privately
from sakk.paywall.compiled.record import end_record, told
from sakk.paywall.payment import Payment

cdef enum:
    COMMIT = 2
    RELEASE = 3
    FAILED_STATUS = 400

cdef object WHOLE = (1 << 128) - 1


cdef class Call:
    """One call: asked for, then reserved, then answered."""

    cdef readonly object asked
    cdef readonly object payment
    cdef readonly bint is_good
    cdef object offer, session, nonce, amount, units, request
    cdef object answered, receiving, sending
    cdef bint is_gone, is_ended

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
            self.end(COMMIT if self.units else RELEASE)

    def close(self):
        """The application is done: what was not served was never paid."""
        if not self.is_good:
            self.end(RELEASE)

    cdef int end(self, int operation) except -1:
        cdef object amount = 0
        if not self.is_ended:
            self.is_ended = True
            if operation == COMMIT:
                amount = WHOLE if self.units == self.amount else self.units
            self.offer.charges.finish(
                end_record(operation, self.session.key, self.nonce, amount, 0)
            )
        return 0


cdef list dressed(object given, object answered):
    """The head's fields with the receipt, without the meter's, and never for shared caches."""
    cdef list headers = []
    cdef bint is_private = False
    for name, value in given:
        lower = name.lower()
        if lower == b"cache-control":
            is_private = True
            if b"no-store" not in value and b"private" not in value:
                name, value = lower, privately(value)
        elif lower == b"sakk-usage":
            continue
        headers.append((name, value))
    if not is_private:
        headers.append((b"cache-control", b"private"))
    if answered is not None:
        headers.append((b"payment-response", answered))
    return headers
