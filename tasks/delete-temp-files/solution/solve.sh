#!/bin/bash
set -e
rm cache/*.tmp
