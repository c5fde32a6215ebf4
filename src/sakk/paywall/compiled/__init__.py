"""The door's hot path, compiled: see ``sakk.paywall.record``."""
