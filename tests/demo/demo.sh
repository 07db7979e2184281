#!/usr/bin/env bash
# The main job, live: a JVM that nobody prepared -> firstmile -> HTTPS -> a REST proxy (the sandbox).
# Stays until Ctrl-C, or for DEMO_SECONDS=n; ends only what it started and leaves nothing behind.
set -u
cd "$(dirname "$0")/../.." || exit 1
firstmile=build/firstmile
# Not /tmp: where that lies in memory, so would the spool, and /health would rightly be degraded.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/firstmile-demo.XXXXXX") || exit 1
jvm='' sandbox='' agent='' stats='' status=''

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'
else
    bold='' dim='' green='' red='' off=''
fi

finish() { # end a child: politely, then for good
    local pid=$1 i
    [ -n "$pid" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 60; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
}
closing() { # the last word: what came of it
    local now
    [ -n "$stats" ] || return 0
    now=$(get "$status/stats" 2>/dev/null) && [ -n "$now" ] && stats=$now
    printf '\n%s%s records delivered, %s lost, %s dead letters.%s All processes end, %s is removed.\n' \
        "$bold" "$(field totals records)" "$(field totals lost)" "$(field totals dead)" "$off" "$work"
}
clean_up() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP # a second Ctrl-C would leave the rest running; each end has its limit
    closing
    finish "$agent"
    finish "$sandbox"
    finish "$jvm"
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 0' INT TERM HUP

step() { printf '\n%s%s%s\n' "$bold" "$1" "$off"; }
note() { printf '  %s%s%s\n' "$dim" "$1" "$off"; }
fail() {
    printf '\n%sdemo: %s%s\n' "$red" "$1" "$off" >&2
    for log in sandbox agent jvm; do
        [ -s "$work/$log.log" ] && { echo "--- $log"; tail -15 "$work/$log.log"; } >&2
    done
    exit 1
}
await() { # await WHAT SECONDS COMMAND...: until the command succeeds
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -ge "$end" ] && fail "$what did not happen in time"
        sleep 0.2
    done
}
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# JSON, one member a line; strings are left alone.
pretty() {
    awk '{ n = length($0); in_text = 0; depth = 0
        for (i = 1; i <= n; i++) {
            c = substr($0, i, 1)
            if (in_text) {
                printf "%s", c
                if (c == "\\") { i++; printf "%s", substr($0, i, 1) }
                else if (c == "\"") in_text = 0
            } else if (substr($0, i, 2) == "{}" || substr($0, i, 2) == "[]") {
                printf "%s", substr($0, i++, 2)
            } else if (c == "{" || c == "[") {
                depth++; printf "%s\n%*s", c, 2 * depth + 2, ""
            } else if (c == "}" || c == "]") {
                depth--; printf "\n%*s%s", 2 * depth + 2, "", c
            } else if (c == ",") printf ",\n%*s", 2 * depth + 2, ""
            else if (c == ":") printf ": "
            else { printf "%s", c; if (c == "\"") in_text = 1 }
        }
        print "" }' | sed '1s/^/  /'
}

printf '%sfirstmile demo%s  JMX in, Kafka out, through nothing but HTTPS\n' "$bold" "$off"

step '1. A throw-away CA and a certificate for localhost'
{
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=firstmile demo CA' \
        -keyout "$work/ca.key" -out "$work/ca.pem" &&
        openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' \
            -keyout "$work/server.key" -out "$work/server.csr" &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$work/san.cnf" &&
        openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" \
            -CAcreateserial -days 2 -extfile "$work/san.cnf" -out "$work/server.pem"
} >"$work/openssl.log" 2>&1 || { cat "$work/openssl.log" >&2; fail 'openssl failed'; }
note "$work/ca.pem"

step '2. A sample JVM, started without any JMX flag'
javac -d "$work" tests/demo/Sample.java >"$work/jvm.log" 2>&1 || fail 'javac failed'
java -Xmx64m -cp "$work" Sample >"$work/jvm.log" 2>&1 &
jvm=$!
note "java Sample    pid $jvm"

step '3. The sandbox: a stand-in for a Kafka REST proxy, on HTTPS'
# In a session of its own: Ctrl-C shall not take it from the agent, which sends what waits.
setsid $firstmile sandbox --listen localhost:0 --tls-cert "$work/server.pem" --tls-key "$work/server.key" \
    >"$work/sandbox.url" 2>"$work/sandbox.log" &
sandbox=$!
await 'the start of the sandbox' 10 grep -q https "$work/sandbox.url"
url=$(head -1 "$work/sandbox.url")
note "$url"

step '4. The JVMs on this host (firstmile jvms)'
await 'the start of the sample JVM' 15 sh -c "$firstmile jvms | grep -q '^ *$jvm '"
$firstmile jvms | sed 's/^/  /'

step '5. The agent, with the shipped config.ini'
port=9470
until port_is_free "$port"; do port=$((port + 1)); done
options=(-o "rest.url=$url" -o "rest.ca_file=$work/ca.pem" -o "agent.state_dir=$work/state"
    -o agent.interval=2s -o 'target:local.url=local:Sample*' -o "http.listen=127.0.0.1:$port")
note "firstmile run -c config.ini -o rest.url=$url -o rest.ca_file=... \\"
note "    -o agent.state_dir=... -o agent.interval=2s -o target:local.url='local:Sample*' \\"
note "    -o http.listen=127.0.0.1:$port"
$firstmile run -c config.ini "${options[@]}" 2>"$work/agent.log" &
agent=$!
status=http://127.0.0.1:$port
get() { curl -sS --max-time 5 --cacert "$work/ca.pem" "$@"; }
await 'the start of the agent' 10 get -f "$status/livez"

step '6. A record, read back from the topic'
find_record() {
    get "$url/topics/firstmile/partitions/0/records?max=1000" >"$work/records" &&
        sed 's/{"topic":/\n&/g' "$work/records" | grep '"type=Memory\|java.lang:type=Memory' |
        grep '/Sample"' | tail -1 | sed 's/,$//; s/\]$//' >"$work/record" && [ -s "$work/record" ]
}
await 'the arrival of a record' 30 find_record
pretty <"$work/record"

step '7. What the agent says of itself'
await 'health' 15 sh -c "curl -s --max-time 5 $status/health |
    grep -q -e '\"status\":\"ok\"' -e 'records are not durable'"
field() { sed -n "s/.*\"$1\":{[^}]*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$stats"; } # OBJECT FIELD
polled() { # a whole poll was sent, not only the record of the start
    stats=$(get "$status/stats") && [ "$(field last_send records)" -gt 1 ] 2>/dev/null
}
await 'the sending of a poll' 15 polled
summary() {
    printf '  /health      %s%s%s\n' "$green" \
        "$(get "$status/health" | sed -n 's/.*"status":"\([a-z]*\)","reasons":\["*\([^"]*\).*/\1 \2/p' |
            sed 's/ \].*//')" "$off"
    printf '  last send    HTTP %s, %s records in %s ms to %s, topic %s\n' \
        "$(field last_send http_status)" "$(field last_send records)" \
        "$(field last_send duration_ms)" "$(field last_send endpoint)" "$(field last_send topic)"
    printf '  delivered    %s records in %s batches; lost %s, dead letters %s\n' \
        "$(field totals records)" "$(field totals batches)" "$(field totals lost)" \
        "$(field totals dead)"
    printf '  in the spool %s records\n' "$(field spool records)"
}
summary

step '8. Yours to look at'
printf '  status page   %s%s/%s    also /health /stats /metrics\n' "$bold" "$status" "$off"
printf '  the topic     curl --cacert %s \\\n' "$work/ca.pem"
printf "                  '%s/topics/firstmile/partitions/0/records?offset=0&max=3'\n" "$url"
printf '  values        %s get pid:%s java.lang:type=Memory HeapMemoryUsage/used\n' "$firstmile" "$jvm"
if [ -n "${DEMO_SECONDS:-}" ]; then
    note "ends by itself in $DEMO_SECONDS s"
else
    note 'Ctrl-C ends it and removes everything'
fi
end=$((SECONDS + ${DEMO_SECONDS:-1000000000}))
next=$((SECONDS + 10))
while [ "$SECONDS" -lt "$end" ]; do
    kill -0 "$agent" 2>/dev/null || fail 'the agent ended'
    if [ "$SECONDS" -ge "$next" ]; then
        next=$((SECONDS + 10))
        stats=$(get "$status/stats")
        note "$(date +%T)  $(field totals records) records delivered, $(field spool records) waiting"
    fi
    sleep 0.5
done
