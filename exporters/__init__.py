"""Container and node metrics for Prometheus."""
