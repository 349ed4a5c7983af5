#!/bin/bash
# Passes when /app/clean.csv holds the first line of each subscriber, in the original order.
# Spaces around lines and blank lines around the text do not matter.
out=/app/clean.csv
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ] && [ "$(text "$out")" = "$(text /tests/expected.txt)" ]; then
  echo 1
else
  echo 0
fi > /logs/verifier/reward.txt
