#!/bin/bash
set -e
echo order_id,customer_name,total > report.csv
awk -F, 'NR == FNR { name[$1] = $2; next } FNR > 1 { print $1 "," name[$2] "," $3 }' customers.csv orders.csv | LC_ALL=C sort >> report.csv
