#!/bin/bash
set -e
find conf -name '*.conf' -exec sed -i 's/old\.example\.com/shop.example.net/g' {} +
