#!/bin/bash
set -e
find photos -name '*.JPEG' | while read -r path; do mv "$path" "${path%.JPEG}.jpg"; done
