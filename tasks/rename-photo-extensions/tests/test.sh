#!/bin/bash
# Passes when the tree holds exactly the expected names with the original contents.
passes() {
  cd /data/photos && [ "$(find . ! -type d | LC_ALL=C sort)" = "$(cut -c67- /tests/expected.sha256 | LC_ALL=C sort)" ] &&
  [ -z "$(find . -type l)" ] && sha256sum --check --status /tests/expected.sha256
}

if passes; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
