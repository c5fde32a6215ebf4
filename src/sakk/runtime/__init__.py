"""Settings, wiring, processes."""
