"""What runs inside the harness sandbox: only the standard library, Python 3.10 and later, and no other room's code.

These files are put into the sandbox under their own names, so that the imports below work there as they do here.
"""
