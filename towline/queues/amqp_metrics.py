"""What the broker's queue counts beyond the ledger of lines (towline.metrics)."""

from prometheus_client import Counter, Gauge

from towline.metrics import REGISTRY

RECONNECTS = Counter("towline_queue_reconnects", "Connections to the broker that ended or could not be made, by role.",
                     ["role"], registry=REGISTRY)  # fmt: skip
REFUSED = Counter("towline_queue_refused", "Messages that the broker did not keep and that are published again, by "
                  "reason: full, unroutable.", ["reason"], registry=REGISTRY)  # fmt: skip
DAMAGED = Counter("towline_queue_damaged", "Messages that could not be read and went to the dead letters.",
                  registry=REGISTRY)  # fmt: skip
LOST = Counter("towline_queue_lost", "Times the broker's queue was found to be deleted after it had taken messages of "
               "this process or an earlier one; all logs are read again then.", registry=REGISTRY)  # fmt: skip
REDELIVERED = Counter("towline_queue_redelivered", "Messages that the broker handed out before, to this process or "
                      "another.", registry=REGISTRY)  # fmt: skip
MESSAGES = Gauge("towline_queue_messages", "Messages that wait in the broker's queue, without those that an indexer "
                 "has; an indexer asks every 10 s.", registry=REGISTRY)  # fmt: skip
EVENTS = Gauge("towline_queue_events", "Domain events that wait in the broker's queue, without those that an indexer "
               "has; asked every 10 s.", registry=REGISTRY)  # fmt: skip
