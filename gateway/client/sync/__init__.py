"""The synchronous client, generated from `aio/` except `driver.py`: `make sync-client` writes it."""
