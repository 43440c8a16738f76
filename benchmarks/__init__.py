"""What Towline costs, measured beside a reference on the same machine in the same run: `make bench`."""
