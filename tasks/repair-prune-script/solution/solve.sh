#!/bin/bash
set -e
cp /solution/prune.sh prune.sh
