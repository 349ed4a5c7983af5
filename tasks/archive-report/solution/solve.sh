#!/bin/bash
set -e
mkdir archive
mv report.txt archive/
