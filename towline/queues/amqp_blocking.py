"""A connection that waits for each answer, for commands that look at a broker once."""

import pika
from pika import exceptions

from towline.errors import QueueUnavailable
from towline.queues.amqp_errors import explain
from towline.queues.amqp_url import Broker


def connected(broker: Broker) -> pika.BlockingConnection:
    """To the first of the broker's addresses that answers; raises QueueUnavailable with what the last one said."""
    problem = ""
    for address in broker.addresses:
        try:
            return pika.BlockingConnection(broker.parameters(address))
        except (exceptions.AMQPError, OSError) as error:
            problem = f"queue {broker.at(address)}: {explain(error, broker)}"
    raise QueueUnavailable(problem)
