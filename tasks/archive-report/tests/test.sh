#!/bin/bash
# Passes when report.txt lies in archive, unchanged, and no longer beside it.
passes() {
  cd /app &&
  [ -d archive ] && [ ! -L archive ] && [ -f archive/report.txt ] && [ ! -L archive/report.txt ] &&
  [ ! -e report.txt ] && [ -f notes.txt ] && cmp -s archive/report.txt /tests/report.txt
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
