"""What runs inside a bubblewrap sandbox as its process 1: stdlib only, Python 3.10+, loaded by `program.load`.

It runs on the server's Python without site-packages. Few modules are imported, since their import is most of what a
sandbox costs: no `typing`, no `signal`, no `socket`, but the C modules below them. All are imported before the first
command, so that what commands do to files later cannot reach this code.
"""
