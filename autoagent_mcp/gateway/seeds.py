"""Seeds for model calls: one setting, and no two calls drawn alike."""

from __future__ import annotations

import hashlib


def seed_of_call(seed: int, place: str, call: int) -> int:
    """Draw the seed of a call.

    The run is part of `place`, so that a later run of the same harness is a fresh draw and not a repetition.

    Args:
        seed: The workspace's.
        place: Names the session: its run and trial.
        call: Its number in the session.

    Returns:
        31 bits: of 32, llama.cpp takes all ones for no seed at all.
    """
    digest = hashlib.sha256(f"{seed} {place} {call}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
