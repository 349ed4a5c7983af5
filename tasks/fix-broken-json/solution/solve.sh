#!/bin/bash
set -e
cp /solution/settings.json settings.json
