"""What a stage or a command is given: the database, the ledger's books, and what it may ask."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sakk.core.bank_account import BankAccount
from sakk.core.errors import SealedElsewhere
from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.rails.bank.rail import BankRail
from sakk.rails.evm.rail import EvmRail
from sakk.screening.engine import Engine
from sakk.screening.exposure import Exposures
from sakk.screening.name import NameIndex
from sakk.signing.client import SignerClient
from sakk.store.database import Database
from sakk.store.identity import now as wall_clock
from sakk.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Parts:
    """The wired parts of a process. A role that does not need a part is given None for it.

    ``public_url``: by which others reach this server.
    """

    database: Database
    ledger_books: Books | None = None
    screening: Engine | None = None
    signer: SignerClient | None = None
    rail: Callable[[Network], EvmRail] | None = None
    vault: Vault | None = None
    exposure: Exposures | None = None
    public_url: str | None = None
    names: NameIndex | None = None
    banks: Callable[[BankAccount], BankRail] | None = None
    clock: Callable[[], datetime] = field(default=wall_clock)

    @property
    def books(self) -> Books:
        assert self.ledger_books is not None, "this process was wired without the ledger"
        return self.ledger_books

    def screening_engine(self) -> Engine:
        assert self.screening is not None, "this role was wired without screening"
        return self.screening

    def exposures(self) -> Exposures:
        assert self.exposure is not None, "this role was wired without exposure"
        return self.exposure

    def name_index(self) -> NameIndex:
        assert self.names is not None, "this process was wired without the index of names"
        return self.names

    def signer_client(self) -> SignerClient:
        assert self.signer is not None, "this role was wired without a signer"
        return self.signer

    def secrets_vault(self) -> Vault:
        """Where second factors are sealed; SealedElsewhere on a machine without its key."""
        if self.vault is None:
            raise SealedElsewhere(
                "This machine has no vault key: set SAKK_VAULT_KEY_FILE to a copy of the file that"
                " the first server made.",
                param="SAKK_VAULT_KEY_FILE",
            )
        return self.vault

    def rail_of(self, network: Network) -> EvmRail:
        assert self.rail is not None, "this role was wired without rails"
        return self.rail(network)
