"""Grafana dashboards and Kibana objects as code. `python -m dashboards` writes the files that are checked in."""
