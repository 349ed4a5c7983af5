"""Answers to a client's hooks: may it stop, may it make this edit?

A client waits for a hook at each stop and each edit, so an answer has to be there within 200 ms, start of the
interpreter and all: nothing in here imports more than the standard library and two small modules.
"""
