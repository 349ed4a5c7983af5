#!/bin/bash
set -e
cp nginx.conf nginx.conf.bak
