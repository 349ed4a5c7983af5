#!/bin/bash
# Passes when deploy.yaml is the current version; blanks at line ends and at the end of the file do not matter.
passes() {
  text() { sed 's/[[:space:]]*$//' "$1"; }
  cd /srv/deploy && [ -f deploy.yaml ] && [ ! -L deploy.yaml ] && cmp -s deploy.yaml.orig /tests/deploy.yaml.orig &&
  [ "$(text deploy.yaml)" = "$(text /tests/deploy.yaml)" ]
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
