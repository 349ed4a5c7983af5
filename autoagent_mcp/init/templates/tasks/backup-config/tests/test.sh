#!/bin/bash
# Passes when the copy exists and both files have the original content.
passes() {
  cd /srv/proxy &&
  [ -f nginx.conf ] && [ -f nginx.conf.bak ] && [ ! -L nginx.conf ] && [ ! -L nginx.conf.bak ] &&
  cmp -s nginx.conf /tests/nginx.conf && cmp -s nginx.conf.bak /tests/nginx.conf
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
