from sakk.api.charge import Held

class Session:
    def __init__(self, held: Held) -> None: ...

class Asked:
    records: bytes
    def answer(self, results: bytes) -> bytes: ...

def ask(
    body: bytes,
    sessions: dict[bytes, Session],
    payee_id: str,
    livemode: bool,
    now: float,
    reserve_reasons: bytes,
    end_reasons: bytes,
) -> Asked | None: ...
def hash_by_machine(wanted: bool) -> bool: ...
