"""The asynchronous client. `sync/` is generated from it, except `driver.py`: see `tests/sync_client.py`."""
