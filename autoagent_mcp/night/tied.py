"""Becomes the command that it is given, which then ends when the process that started it does, even by SIGKILL.

Run as a script of its own: `python tied.py COMMAND ...`. Without it a client would go on, and spend, past the hour and
the budget of a night that was killed. Only Linux can do that (prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the person's
