#!/bin/bash
# Passes when both lists are right; blanks around names and blank lines do not matter.
passes() {
  names() { sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$1" | grep .; }
  right() { [ -f "$1" ] && [ ! -L "$1" ] && [ "$(names "$1")" = "$(names "/tests/$1")" ]; }
  cd /srv/build && right order.txt && right blocked.txt
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
