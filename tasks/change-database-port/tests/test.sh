#!/bin/bash
# Passes when just that line has changed (spaces around = do not matter on it).
passes() {
  cd /srv/orders && [ -f service.ini ] && [ ! -L service.ini ] &&
  sed 's/^port *= *5433$/port = 5433/' service.ini | cmp -s - /tests/service.ini
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
