#!/bin/bash
set -e
cp /solution/invoice.py invoice.py
