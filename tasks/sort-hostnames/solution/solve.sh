#!/bin/bash
set -e
sort hosts.txt > sorted.txt
