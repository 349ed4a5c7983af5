#!/bin/bash
set -e
tr a-z A-Z < codes.txt > upper.txt
