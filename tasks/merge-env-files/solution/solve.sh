#!/bin/bash
set -e
cat defaults.env production.env | grep -v '^#' | grep . |
  awk '{ name = $0; sub(/=.*/, "", name); last[name] = $0 } END { for (name in last) print last[name] }' | LC_ALL=C sort > merged.env
