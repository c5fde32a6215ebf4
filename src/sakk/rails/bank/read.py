"""What a file of a bank says, whatever its kind."""

from sakk.core.bank_file import FileKind
from sakk.rails.bank.camt import read_camt
from sakk.rails.bank.pain002 import read_pain002
from sakk.rails.bank.reader import ReadFile, Unreadable, kind_of
from sakk.rails.bank.swift import read_mt940


def read_file(content: bytes) -> ReadFile:
    """Read a file whole; Unreadable says why it can not be."""
    kind = kind_of(content)
    match kind:
        case FileKind.statement | FileKind.intraday:
            return ReadFile(kind, statements=read_camt(content, kind))
        case FileKind.mt940:
            return ReadFile(kind, statements=read_mt940(content))
        case FileKind.status:
            return ReadFile(kind, reports=[read_pain002(content)])
        case FileKind.orders | FileKind.unknown:
            raise Unreadable("it is neither a statement nor a status report")
