"""EVM chains, any of them by configuration."""
