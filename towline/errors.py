"""Everything that can go wrong and is told to a person: one line that names the input and the fix."""


class TowlineError(Exception):
    """Base of what the command line prints as one line, without a traceback."""

    exit_code = 1


class UsageError(TowlineError):
    """The command was given something that it can't use: wrong URL, range, pattern."""

    exit_code = 2


class EngineUnavailable(TowlineError):
    """The Docker engine does not answer on its socket; it may come back."""


class QueueUnavailable(TowlineError):
    """The queue takes or gives nothing right now; it may come back."""


class StoreUnavailable(TowlineError):
    """The store takes or gives nothing right now (away, full, locked); the same call may work later."""


class BatchError(TowlineError):
    """Bytes that claim to be a batch can't be read: damaged, or of a version from the future."""
