#!/bin/bash
# The health check: what /readyz of the program in this container says; fails with its lines where something is wrong.
# bash opens the connection itself, which costs the node a hundredth of what a Python would, every half minute.
# No curl and no `towline` here: TOWLINE_LISTEN says where, else the default of every program but `export`.
set -u
address=${TOWLINE_LISTEN:-127.0.0.1:8514}
host=${address%:*}
case $host in
    '' | 0.0.0.0) host=127.0.0.1 ;;
    '[::]' | ::) host=::1 ;;
    *) host=${host#[} host=${host%]} ;;
esac
exec 3<>"/dev/tcp/$host/${address##*:}" || exit 1
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r -t 8 -u 3 _ status _ || exit 1
while read -r -t 8 -u 3 line && [[ ${line%$'\r'} ]]; do :; done
while read -r -t 8 -u 3 line || [[ $line ]]; do echo "$line"; done
[[ $status == 200 ]]
