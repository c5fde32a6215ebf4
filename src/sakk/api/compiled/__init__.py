"""The hot path of charges, compiled: see ``sakk.api.charge``."""
