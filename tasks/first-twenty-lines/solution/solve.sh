#!/bin/bash
set -e
head -n 20 server.log > first.txt
