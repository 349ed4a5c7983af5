#!/bin/bash
set -e
grep timeout gateway.log > timeouts.txt
