KEY_SIZE: int

class IdHash:
    """A keyed hash of 16-byte ids to 64 bits. ``key``: ``KEY_SIZE`` bytes, drawn if not given."""

    def __init__(self, key: bytes | None = None) -> None: ...
    def __call__(self, identifier: bytes) -> int:
        """The hash; ValueError if the id has not 16 bytes."""
        ...
