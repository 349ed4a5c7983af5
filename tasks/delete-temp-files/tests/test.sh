#!/bin/bash
# Passes when exactly the files that are no .tmp files are left in cache.
passes() {
  [ -d /app/cache ] && [ "$(ls -A /app/cache | LC_ALL=C sort)" = "$(cat /tests/expected.txt)" ]
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
