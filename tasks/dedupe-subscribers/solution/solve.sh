#!/bin/bash
set -e
awk -F, '!seen[tolower($1)]++' subscribers.csv > clean.csv
