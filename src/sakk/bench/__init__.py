"""Measurements that compare Sakk with the usual way, in one run, on one machine."""
