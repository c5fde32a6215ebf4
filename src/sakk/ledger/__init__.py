"""The engine: transfer rules, journal, writer, projection."""
