"""Ready parsers, by the name that a label gives: for what stands in front of services, beside them, and in them."""

from collections.abc import Mapping

from shipper.rules.ready_elasticsearch import elasticsearch
from shipper.rules.ready_go import go
from shipper.rules.ready_haproxy import haproxy
from shipper.rules.ready_java import java
from shipper.rules.ready_parts import Parser
from shipper.rules.ready_postgresql import postgresql
from shipper.rules.ready_python import python
from shipper.rules.ready_servers import consul, rabbitmq, redis
from shipper.rules.ready_syslog import syslog
from shipper.rules.ready_traefik import traefik
from shipper.rules.ready_web import apache, nginx

__all__ = ["READY", "Parser"]

READY: Mapping[str, Parser] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "traefik": traefik,
    "apache": apache,
    "consul": consul,
    "rabbitmq": rabbitmq,
    "elasticsearch": elasticsearch,
    "postgresql": postgresql,
    "redis": redis,
    "java": java,
    "python": python,
    "go": go,
    "syslog": syslog,
}
"""Each gives the fields of a line (see Parser), None for one that is not of its form, and never raises. What it costs
grows with the length of the line and no faster."""
