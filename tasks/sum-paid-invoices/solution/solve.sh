#!/bin/bash
set -e
awk -F, '$5 == "paid" { cents += int($6 * 100 + 0.5) } END { printf "%.2f\n", cents / 100 }' invoices.csv > total.txt
