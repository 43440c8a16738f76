"""What two or more of Towline's programs share, and the command line that wires them."""

__version__ = "0.1.0"
