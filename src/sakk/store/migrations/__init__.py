"""The schema's history, forward only. ``make migration`` writes the next file of ``versions``."""
