#!/bin/bash
set -e
echo station,mean_c > means.csv
awk -F, 'NR > 1 && $3 != "" && $3 != "n/a" && $3 != "-999.0" { sum[$2] += $3; n[$2]++ } END { for (s in n) printf "%s,%.2f\n", s, sum[s] / n[s] }' readings.csv | LC_ALL=C sort >> means.csv
