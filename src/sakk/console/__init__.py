"""The console: screens for the operator's people and the accounts'."""
