"""The demonstration: a portfolio lives on a real server, and is compared with its preview and with golden instants."""
