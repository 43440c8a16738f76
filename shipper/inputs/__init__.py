"""Ways in beside containers' logs: listeners that take lines from applications and hand them on as sections.

All but the HTTP server live in one thread with one event loop (`inputs.py`). What a listener reads becomes lines
(`line.py`), `intake.py` gathers them for a moment, or until it is known whose they are (`owners.py`); `sections.py`
numbers and identifies them, `ruling.py` does what labels ask for, and `inbox.py` is where the shipper's thread takes
them from. Once they are confirmed by the queue, or on the spool's disk, the listener hears of it and may tell the
sender.
"""
