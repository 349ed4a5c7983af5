#!/bin/bash
set -e
sed -i '/^\[database\]/,/^\[cache\]/s/^port = .*/port = 5433/' service.ini
