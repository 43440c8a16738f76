"""Ways in beside containers' logs: listeners that take lines from applications and hand them on as sections.

All but the HTTP server live in one thread with one event loop (`inputs.py`). What a listener reads becomes lines
(`line.py`), `intake.py` gathers them for a moment, `sections.py` numbers, identifies and writes them, and `inbox.py` is
where the shipper's thread takes them from; once they are confirmed by the queue, or on the spool's disk, the listener
hears of it and may tell the sender.
"""
