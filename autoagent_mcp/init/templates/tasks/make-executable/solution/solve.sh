#!/bin/bash
set -e
chmod +x deploy.sh
