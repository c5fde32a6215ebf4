"""Real exchanges, by the wires that they publish: the operator's own accounts there."""
