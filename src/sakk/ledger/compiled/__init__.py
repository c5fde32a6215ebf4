"""The ledger's compiled parts, in Cython; ``scripts/compile.py`` builds every ``.pyx`` here."""
