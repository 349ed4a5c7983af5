#!/bin/bash
# Passes when /app/slots.txt holds the common free periods.
# Spaces around lines and blank lines around the text do not matter.
out=/app/slots.txt
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ] && [ "$(text "$out")" = "$(text /tests/expected.txt)" ]; then
  echo 1
else
  echo 0
fi > /logs/verifier/reward.txt
