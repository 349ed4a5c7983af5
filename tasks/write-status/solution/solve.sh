#!/bin/bash
set -e
echo maintenance > status.txt
