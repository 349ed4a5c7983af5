#!/bin/bash
# Passes when /app/emails.txt holds the sorted addresses of the active users with the role billing.
# Spaces around lines and blank lines around the text do not matter.
out=/app/emails.txt
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

reward=0
if [ ! -f "$out" ] || [ "$(realpath "$out")" != "$out" ]; then
  echo "there is no file $out"
elif [ "$(text "$out")" = "$(text /tests/expected.txt)" ]; then
  reward=1
else
  echo "$out does not hold the sorted addresses of the active users with the role billing; it begins with:"
  head -c 300 "$out"
fi
echo "$reward" > /logs/verifier/reward.txt
