"""End to end: what a visitor does on one side, what arrives in the mailbox on the other, and nothing in between.

Nothing here imports the flows, the worker or the deploy: it knows the services' public APIs and the domain's names.
"""
