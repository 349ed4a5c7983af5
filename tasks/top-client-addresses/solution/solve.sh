#!/bin/bash
set -e
cut -d' ' -f1 access.log | sort | uniq -c | sort -rn | head -n 5 | awk '{ print $2, $1 }' > top.txt
