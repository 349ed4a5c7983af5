#!/bin/bash
# Passes when the unchanged script can be executed by its owner.
passes() {
  cd /app &&
  [ -f deploy.sh ] && [ ! -L deploy.sh ] && cmp -s deploy.sh /tests/deploy.sh &&
  [ $((0$(stat -c %a deploy.sh) & 0100)) -ne 0 ]
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
