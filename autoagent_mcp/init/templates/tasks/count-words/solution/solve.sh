#!/bin/bash
set -e
wc -w < incident.txt > words.txt
