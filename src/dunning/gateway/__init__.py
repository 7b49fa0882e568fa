"""Where providers' messages come in. SPEC 12, 15, 18.

A message is verified on its raw bytes, settles the attempt that it is about, and is stored, all before it is
acknowledged. Only then is the subscription's workflow told; a row that could not be signalled is signalled again.

    python -m dunning.gateway
"""
