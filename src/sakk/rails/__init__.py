"""What can move money outside: one folder a family of chains or banks."""
