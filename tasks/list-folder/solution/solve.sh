#!/bin/bash
set -e
ls letters > list.txt
