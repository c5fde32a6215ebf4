"""The stages and the commands that the doors call."""
