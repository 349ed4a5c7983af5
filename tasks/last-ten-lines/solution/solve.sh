#!/bin/bash
set -e
tail -n 10 deploy.log > recent.txt
