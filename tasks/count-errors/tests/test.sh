#!/bin/bash
# Passes when /app/errors.txt holds the number of lines of app.log with ERROR.
# Spaces around lines and blank lines around the text do not matter.
out=/app/errors.txt
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ] && [ "$(text "$out")" = "$(text /tests/expected.txt)" ]; then
  echo 1
else
  echo 0
fi > /logs/verifier/reward.txt
