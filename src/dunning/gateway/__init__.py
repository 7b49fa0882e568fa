"""Where providers' messages come in. SPEC 12, 15, 18.

A message is verified on its raw bytes and stored before it is acknowledged. Behind the answer it settles the attempt
that it is about, and the subscription's workflow is told; what could not be settled or signalled is done again.

    python -m dunning.gateway
"""
