"""Sakk: self-hosted stablecoin payment infrastructure on one exact ledger."""

__version__ = "0.1.0"
