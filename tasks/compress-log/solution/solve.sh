#!/bin/bash
set -e
gzip audit.log
