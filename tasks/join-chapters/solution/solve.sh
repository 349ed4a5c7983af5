#!/bin/bash
set -e
cat part1.txt part2.txt > book.txt
