"""A local chain with real contracts, for the sandbox, the demo and the tests."""
