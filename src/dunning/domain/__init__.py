"""The pure core: no clock, no I/O. It decides everything, as values."""
