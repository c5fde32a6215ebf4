def decode(header: bytes) -> bytes | None: ...
def reserve_record(
    session: bytes,
    nonce: int,
    amount: int,
    request: bytes,
    mac: str,
    currency: bytes,
    timeout_seconds: int,
) -> bytes: ...
def end_record(operation: int, session: bytes, nonce: int, amount: int, units: int) -> bytes: ...
def told(
    start: bytes, go_on: bytes, nonce: int, amount: int, request: bytes, result: bytes
) -> tuple[bytes, str]: ...
