#!/bin/bash
# Passes when prune.sh does the right thing in folders that the agent has not seen.
script=/srv/backup/prune.sh
work=$(mktemp -d)

# names[N]: the name of the backup N days after 2023-12-20
mapfile -t names < <(seq 0 40 | sed 's/.*/2023-12-20 + & days/' | date -u -f - +db-%F.sql.gz)

backups() {  # folder, first day, last day; the newest backup has the oldest time stamp
  mkdir -p "$1"
  for n in $(seq "$2" "$3"); do echo "$n" > "$1/${names[n]}"; done
  touch -d 2020-01-01 "$1/${names[$3]}"
}

named() { for n in "$@"; do echo "${names[n]}"; done; }

kept() {  # folder, expected listing, expected output, output
  [ "$(ls -A "$1" | LC_ALL=C sort)" = "$(echo "$2" | grep . | LC_ALL=C sort)" ] && [ "$3" = "$4" ]
}

run() { timeout 5 sh "$script" "$@" 2> /dev/null; }

many() {  # 25 days over the turn of the year, one of them with a .keep, and other files
  backups "$work/many" 0 24
  other="${names[5]}.keep
db-2024-01-03.sql
notes.txt
xdb-2023-01-05.sql.gz
db-2023-01-05.sql.gz.tmp"
  for name in $other; do touch "$work/many/$name"; done
  mkdir "$work/many/db-2023-01-07.sql.gz"
  out=$(run "$work/many") &&
  kept "$work/many" "$(named 5 12 18 19 20 21 22 23 24; echo "$other"; echo db-2023-01-07.sql.gz)" \
    "$(named 0 1 2 3 4 6 7 8 9 10 11 13 14 15 16 17)" "$out"
}

blank() {  # a relative folder with a blank in its name
  backups "$work/old backups" 30 40
  out=$(cd "$work" && run "old backups") &&
  kept "$work/old backups" "$(named 34 35 36 37 38 39 40)" "$(named 30 31 32 33)" "$out"
}

few() {
  backups "$work/few" 0 4
  out=$(run "$work/few") && kept "$work/few" "$(named 0 1 2 3 4)" "" "$out"
}

empty() {
  mkdir "$work/empty"
  out=$(run "$work/empty") && kept "$work/empty" "" "" "$out"
}

missing() {
  touch "$work/file"
  out=$(cd "$work/few" && run "$work/nowhere"); [ $? -eq 2 ] && [ -z "$out" ] || return 1
  out=$(cd "$work/few" && run "$work/file"); [ $? -eq 2 ] && [ -z "$out" ]
}

if [ -f "$script" ] && [ ! -L "$script" ] && many && blank && few && empty && missing; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
