#!/bin/bash
# The health check: what /readyz of the program in this container says; fails with its lines where something is wrong.
# bash opens the connection itself, which costs the node a hundredth of what a Python would, every half minute.
# Where it listens: --listen of the program (process 1), else TOWLINE_LISTEN, else the program's default.
set -u
mapfile -d '' -t words </proc/1/cmdline
address=${TOWLINE_LISTEN:-127.0.0.1:8514}
for at in "${!words[@]}"; do
    case ${words[at]} in
        export) address=${TOWLINE_LISTEN:-127.0.0.1:9514} ;;
        --listen) address=${words[at + 1]:-$address} && break ;;
        --listen=*) address=${words[at]#--listen=} && break ;;
    esac
done
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
