#!/bin/bash
set -e
tar -cf docs.tar docs
