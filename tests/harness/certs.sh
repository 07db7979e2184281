#!/usr/bin/env bash
# Certificates for tests, into the folder $1: a CA, servers good and bad, a client. EC keys: quick.
# With "odd" behind it: more of them, into a folder that has the others.
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
    openssl ca -batch -config "${cnf:-ca.cnf}" -cert "$by.pem" -keyfile "$by.key" -in "$name.csr" \
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
good_ones() {
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
}
# What nobody should show, and a chain that lacks its middle.
odd_ones() {
    local='DNS:localhost,IP:127.0.0.1'
    leaf inter ca DNS:inter.test
    openssl x509 -req -in inter.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out inter.pem \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n')
    leaf below inter "$local"
    cat below.pem inter.pem >chain.pem && cp below.key chain.key
    openssl x509 -req -in inter.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out narrow.pem \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:only.test\n')
    cp inter.key narrow.key
    leaf outside narrow DNS:good.test
    cat outside.pem narrow.pem >constrained.pem && cp outside.key constrained.key
    leaf purpose ca "$local"$'\nextendedKeyUsage=clientAuth'
    leaf stars ca 'DNS:*.*,DNS:*'
    openssl genrsa -out weak.key 1024
    openssl req -new -key weak.key -subj /CN=weak -out weak.csr
    printf 'subjectAltName=%s\n' "$local" >weak.ext
    openssl x509 -req -in weak.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out weak.pem \
        -extfile weak.ext
    leaf sha1 ca "$local" -md sha1
    leaf late ca DNS:client.test -startdate 20200101000000Z -enddate 20200201000000Z
    openssl ec -aes256 -passout pass:open-sesame -in client.key -out locked.key
}
{ "${2:-good}_ones"; } >certs.log 2>&1 || { cat certs.log >&2; exit 1; }
