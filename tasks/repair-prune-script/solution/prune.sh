#!/bin/sh
# usage: prune.sh FOLDER
# Deletes old backups (db-YYYY-MM-DD.sql.gz) from FOLDER. See PRUNING.md.

cd -- "$1" 2> /dev/null || exit 2

day='[0-9][0-9]'
for file in db-[0-9][0-9]$day-$day-$day.sql.gz; do
    if [ -f "$file" ]; then echo "$file"; fi
done | LC_ALL=C sort | head -n -7 | while read -r file; do
    case $file in *-01.sql.gz) continue ;; esac
    if [ -e "$file.keep" ]; then continue; fi
    rm -- "$file" && echo "$file"
done
exit 0
