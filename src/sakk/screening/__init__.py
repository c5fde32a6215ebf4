"""Lists, labels and verdicts."""
