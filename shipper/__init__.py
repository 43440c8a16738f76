"""Containers' stdout to the queue: runs on every node, reads each line once."""
