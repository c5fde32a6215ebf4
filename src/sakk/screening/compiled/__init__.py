"""The exposure graph, compiled: see ``sakk.screening.exposure_graph``."""
