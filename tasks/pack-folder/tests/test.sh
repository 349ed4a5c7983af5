#!/bin/bash
# Passes when docs.tar (compressed or not) unpacks to the files of docs.
passes() {
  [ -f /app/docs.tar ] && [ ! -L /app/docs.tar ] && to=$(mktemp -d) && tar -xf /app/docs.tar -C "$to" &&
  [ -z "$(find "$to" -type l)" ] &&
  { diff -r /tests/docs "$to/docs" || diff -r /tests/docs "$to/app/docs" || diff -r /tests/docs "$to"; } > /dev/null 2>&1
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
