"""How much is read from the broker's socket at a time.

pika asks for 4 KiB, and with each copies all that it has of an unfinished frame: a batch of 80 kB comes in twenty reads
and 800 kB of copies, which is a fifth of what a line costs the indexer (benchmarks/indexer.py).
"""

from pika.adapters.select_connection import SelectConnection

AT_ONCE = 128 << 10
"""Bytes: the largest frame. Of more, pika copies what is left with each frame that it takes."""
_LIMIT = "_MAX_RECV_BYTES"


def read_much(connection: SelectConnection) -> None:
    """Have the open connection read up to AT_ONCE bytes; does nothing should pika call its limit otherwise one day."""
    transport = getattr(connection, "_transport", None)
    if hasattr(transport, _LIMIT):
        setattr(transport, _LIMIT, AT_ONCE)
