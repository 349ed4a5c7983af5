#!/bin/bash
set -e
cut -d, -f1 users.csv > ids.txt
