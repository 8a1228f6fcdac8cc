"""Messages of Debezium for the example `cdc.py`.

`envelope` reads them, `upstream` is a simulated database that writes them, `file` has them in files.
"""
