#!/bin/sh
# Certificates for tests, into the folder $1: a CA, servers good and bad, a client. EC keys: quick.
set -eu
cd "$1"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
ca() { # name
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=Test $1" -days 30 -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}
leaf() { # name ca subjectAltName [extra openssl ca options]
    name=$1 by=$2 san=$3
    shift 3
    key "$name"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=%s\n' "$san" >"$name.ext"
    : >index.txt
    openssl ca -batch -config ca.cnf -cert "$by.pem" -keyfile "$by.key" -in "$name.csr" \
        -out "$name.pem" -extfile "$name.ext" -notext "$@"
}
cat >ca.cnf <<'CNF'
[ca]
default_ca = d
[d]
database = index.txt
rand_serial = yes
default_md = sha256
new_certs_dir = .
policy = p
default_days = 30
unique_subject = no
[p]
commonName = supplied
CNF
{
    ca ca
    ca other
    leaf server ca DNS:localhost,IP:127.0.0.1,DNS:good.test
    leaf wrong ca DNS:elsewhere.test
    leaf expired ca DNS:localhost,IP:127.0.0.1 -startdate 20200101000000Z -enddate 20200201000000Z
    leaf future ca DNS:localhost,IP:127.0.0.1 -startdate 20480101000000Z -enddate 20490101000000Z
    leaf client ca DNS:client.test
    leaf stranger other DNS:client.test
    key self
    openssl req -x509 -new -key self.key -subj /CN=self -days 30 -out self.pem \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1
} >certs.log 2>&1 || { cat certs.log >&2; exit 1; }
