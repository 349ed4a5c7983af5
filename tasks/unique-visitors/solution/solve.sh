#!/bin/bash
set -e
sort -u visitors.txt > unique.txt
