"""Wiring: settings -> ledger, providers, channels -> activities -> a running worker. `python -m workers`."""
