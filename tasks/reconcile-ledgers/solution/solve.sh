#!/bin/bash
set -e
python3 /solution/solve.py
