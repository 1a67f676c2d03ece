#!/bin/sh
# Makes an authority, a server certificate and one certificate for each user, P-256, in a folder.
# Usage: make-certificates.sh FOLDER HOST USER...
#   HOST  the name or address that agents connect to
#   USER  the short id of a gateway or component, or a dashboard's name: the CN, and the user name
# What is there already stays: run it again with one more USER. Keep ca.key off the broker's machine;
# who has it can be anybody. Certificates live 825 days; run `openssl x509 -checkend` from a timer.
set -eu
umask 077
[ $# -ge 3 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 host=$2
shift 2
mkdir -p "$folder"
cd "$folder"

case $host in
*[!0-9.]*) names="DNS:$host" ;;
*) names="IP:$host" ;;
esac

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

certify() { # certify NAME USE EXTENSIONS
    [ -e "$1.crt" ] && return
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s' \
        "$2" "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -sha256 \
        -extfile "$1.ext" -out "$1.crt" 2>/dev/null
    rm "$1.csr" "$1.ext"
}

if [ ! -e ca.crt ]; then
    key ca
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=milepost broker authority" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt
fi
certify server serverAuth "subjectAltName=$names
"
for user; do
    case $user in
    *[!A-Za-z0-9_-]* | '' | ca | server) echo "not a user name: '$user'" >&2; exit 2 ;;
    esac
    certify "$user" clientAuth ""
done
