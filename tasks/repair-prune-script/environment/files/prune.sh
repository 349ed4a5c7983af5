#!/bin/sh
# usage: prune.sh FOLDER
# Deletes old backups (db-YYYY-MM-DD.sql.gz) from FOLDER. See PRUNING.md.

cd $1

count=0
for file in `ls -t db-*`; do
    count=$((count + 1))
    if [ $count -gt 7 ]; then
        rm $file
    fi
done
