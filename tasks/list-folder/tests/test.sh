#!/bin/bash
# Passes when /app/list.txt names the files of letters, one a line, in any order, with or without the folder's name.
out=/app/list.txt
names() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' -e 's|^\(\./\)\{0,1\}letters/||' "$1" | grep . | LC_ALL=C sort; }

if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ] && [ "$(names "$out")" = "$(names /tests/expected.txt)" ]; then
  echo 1
else
  echo 0
fi > /logs/verifier/reward.txt
