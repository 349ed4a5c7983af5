#!/bin/bash
# The reward is the share of stations with the right mean; 1 only where the file as a whole is right.
out=/app/means.csv
text() { sed -e 's/[[:space:]]*$//' "$1" | sed '/./,$!d'; }

reward=0
if [ -f "$out" ] && [ "$(realpath "$out")" = "$out" ]; then
  if [ "$(text "$out")" = "$(text /tests/expected.csv)" ]; then
    reward=1
  else
    right=$(tail -n +2 /tests/expected.csv | while read -r line; do text "$out" | grep -cxF -- "$line"; done | grep -cx 1)
    lines=$(text "$out" | wc -l)
    reward=$(awk -v right="$right" -v lines="$lines" 'BEGIN { print (lines > 20 ? 0 : right / 6 * 0.9) }')
  fi
fi
echo "${reward:-0}" > /logs/verifier/reward.txt
