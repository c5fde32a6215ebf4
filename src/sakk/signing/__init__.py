"""The only place that touches keys; runs as its own process."""
