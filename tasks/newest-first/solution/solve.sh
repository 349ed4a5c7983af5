#!/bin/bash
set -e
tac events.txt > newest.txt
