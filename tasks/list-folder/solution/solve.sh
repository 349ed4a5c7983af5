#!/bin/bash
set -e
ls photos > list.txt
