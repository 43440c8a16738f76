"""Ways in beside containers' logs: listeners that take lines from applications and hand them on as sections."""
