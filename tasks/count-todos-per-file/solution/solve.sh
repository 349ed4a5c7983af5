#!/bin/bash
set -e
grep -rc TODO project | grep -v ':0$' | LC_ALL=C sort > todos.txt
