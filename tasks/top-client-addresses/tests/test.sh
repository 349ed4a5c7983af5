#!/bin/bash
# Passes when /app/top.txt holds the five busiest addresses with their numbers of requests.
# Spaces around lines and blank lines around the text do not matter.
out=/app/top.txt
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ] && [ "$(text "$out")" = "$(text /tests/expected.txt)" ]; then
  echo 1
else
  echo 0
fi > /logs/verifier/reward.txt
