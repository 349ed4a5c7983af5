#!/bin/bash
# Passes when audit.log.gz unpacks to the original log.
passes() {
  cd /var/log/audit &&
  [ -f audit.log.gz ] && [ ! -L audit.log.gz ] && [ "$(stat -c %s audit.log.gz)" -lt 1000000 ] &&
  gzip -dc audit.log.gz | cmp -s - /tests/audit.log
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
