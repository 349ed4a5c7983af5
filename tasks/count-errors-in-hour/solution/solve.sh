#!/bin/bash
set -e
awk -F'[][" ]+' '$4 ~ /^14\/May\/2024:14:/ && $9 >= 500' access.log | wc -l > answer.txt
