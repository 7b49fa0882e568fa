"""The imperative shell: one class per outside thing; what it needs comes in through `__init__`."""
