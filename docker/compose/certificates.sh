#!/bin/sh
# A throw-away CA and the REST proxy's keystore, into the folder $1, unless they are there. keytool only.
set -eu
cd "$1"
[ -f ca.pem ] && [ -f rest.p12 ] && exit 0
rm -f ./*.p12 ./*.pem ./*.csr
pass=throw-away
make_key() { # NAME SUBJECT EXTENSION
    keytool -genkeypair -alias "$1" -dname "$2" -ext "$3" -keyalg EC -groupname secp256r1 \
        -validity 365 -storetype PKCS12 -keystore "$1.p12" -storepass "$pass"
}
make_key ca 'CN=firstmile compose CA' bc:c=ca:true
make_key rest 'CN=rest' san=dns:rest,dns:localhost
keytool -exportcert -rfc -alias ca -keystore ca.p12 -storepass "$pass" -file ca.new
keytool -certreq -alias rest -keystore rest.p12 -storepass "$pass" -file rest.csr
keytool -gencert -rfc -alias ca -keystore ca.p12 -storepass "$pass" -validity 365 \
    -ext san=dns:rest,dns:localhost -infile rest.csr -outfile rest.pem
keytool -importcert -noprompt -alias ca -file ca.new -keystore rest.p12 -storepass "$pass"
keytool -importcert -noprompt -alias rest -file rest.pem -keystore rest.p12 -storepass "$pass"
rm -f ca.p12 rest.csr rest.pem
# The proxy runs as another user; firstmile needs the CA alone.
chmod 0644 rest.p12 ca.new
mv ca.new ca.pem
