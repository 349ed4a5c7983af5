#!/bin/bash
# Half of the reward for each of the two files.
text() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | grep .; }
right() { [ -f "/app/$1" ] && [ ! -L "/app/$1" ] && [ "$(text "/app/$1")" = "$(text "/tests/$1")" ]; }

states=0
rejected=0
if right states.csv; then states=1; fi
if right rejected.txt; then rejected=1; fi
awk "BEGIN { print ($states + $rejected) / 2 }" > /logs/verifier/reward.txt
