#!/bin/bash
# Passes when the tree is exactly the expected one.
passes() {
  [ -z "$(find /srv/proxy/conf -type l)" ] && diff -r /srv/proxy/conf /tests/conf > /dev/null
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
