#!/bin/sh
# Starts the desk API in the background and waits until it answers.
cd "$(dirname "$0")" || exit 1
nohup python3 server.py > /dev/null 2>&1 < /dev/null &
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    if python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8321/", timeout=2)' 2> /dev/null; then
        echo "the desk API is running"
        exit 0
    fi
    sleep 0.2
done
echo "the desk API does not answer" >&2
exit 1
