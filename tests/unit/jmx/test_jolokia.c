/* Sessions with a scripted Jolokia agent. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/jmx.h"
#include "jmx/jolokia/jolokia_priv.h"
#include "peer.h"

struct answer {
    const char *when; /* the body must hold this; NULL: any */
    unsigned status;
    const char *body;
};

struct kit {
    struct fm_client *client;
    struct fm_jmx *jmx;
    struct fm_arena arena;
    struct fm_err err;
    struct fm_jmx_cost cost;
    struct peer *peer;
    const struct answer *answers; /* the first that fits */
    char url[80];
    char seen[64 * 1024]; /* the last request: head and body */
};

static struct kit k;

static void open_kit(void)
{
    struct fm_client_opts opts = {0};
    fm_arena_init(&k.arena, 16 * 1024 * 1024);
    cr_assert_eq(fm_net_init(&k.err), FM_OK);
    cr_assert_eq(fm_client_new(&k.client, &opts, &k.err), FM_OK);
}

static void close_kit(void)
{
    fm_jmx_free(k.jmx);
    fm_client_free(k.client);
    fm_arena_clear(&k.arena);
    if (k.peer != NULL)
        peer_stop(k.peer);
}

TestSuite(jolokia, .init = open_kit, .fini = close_kit, .timeout = 30);

static void script(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request request;
    while (peer_read_request(conn, &request)) {
        const struct answer *a = k.answers;
        (void)snprintf(k.seen, sizeof k.seen, "%s%.40000s", request.head, request.body);
        while (a->when != NULL && strstr(k.seen, a->when) == NULL)
            a++;
        if (a->status == 0)
            peer_stall(conn, 0);
        else
            (void)peer_answer(conn, a->status, a->body);
        peer_request_clear(&request);
    }
}

static void begin(const struct answer *answers, struct fm_jmx_opts opts)
{
    k.answers = answers;
    k.peer = peer_start(script, NULL);
    (void)snprintf(k.url, sizeof k.url, "http://127.0.0.1:%u", (unsigned)peer_port(k.peer));
    opts.client = k.client;
    opts.url = k.url;
    if (opts.timeout_ms == 0)
        opts.timeout_ms = 10000;
    cr_assert_eq(fm_jmx_new(&k.jmx, &opts, &k.err), FM_OK, "%s", k.err.text);
}

static enum fm_code run(struct fm_jmx_call *calls, size_t n)
{
    return fm_jmx_run(k.jmx, calls, n, &k.arena, &k.cost, &k.err);
}

static void expect_json(const struct fm_value *value, const char *json)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_value_print(&text, value, FM_JSON_NONFINITE_NULL);
    cr_expect_str_eq(fm_buf_str(&text), json);
    fm_buf_clear(&text);
}

#define OK(value) "{\"status\":200,\"timestamp\":1,\"value\":" value "}"
#define FAIL(status, type, text)                                                                   \
    "{\"error_type\":\"" type "\",\"error\":\"" text "\",\"stacktrace\":\"x\",\"status\":" #status \
    "}"

static const char *const names[] = {"Max", "Big", "When", "Raw", "Peer", "Rate", "Text", "Gone"};

static struct fm_jmx_call read_all(const char *bean)
{
    return (struct fm_jmx_call){
        .op = FM_JMX_READ, .name = bean, .attributes = names, .n_attributes = 8};
}

static const char types[] =
    OK("{\"class\":\"X\",\"desc\":\"d\",\"attr\":{\"Max\":{\"type\":\"long\",\"rw\":false,\"desc\":"
       "\"\"},\"Big\":{\"type\":\"java.math.BigInteger\",\"rw\":true},"
       "\"When\":{\"type\":\"java.util.Date\"},\"Raw\":{\"type\":\"[B\"},"
       "\"Peer\":{\"type\":\"javax.management.ObjectName\"},\"Rate\":{\"type\":\"double\"}}}");
static const char values[] =
    OK("{\"Max\":9223372036854775807,\"Big\":170141183460469231731687303715884105727,"
       "\"When\":\"2026-11-23T02:03:04+01:00\",\"Raw\":[-1,0,127],"
       "\"Peer\":{\"objectName\":\"a:b=c\"},\"Rate\":3,\"Text\":\"\\u00e9\\/\",\"Extra\":1,"
       "\"Gone\":\"ERROR: no (class java.lang.Exception)\"}");
static const char mended[] =
    "{\"Max\":9223372036854775807,\"Big\":\"170141183460469231731687303715884105727\","
    "\"When\":1795395784000,\"Raw\":\"/wB/\",\"Peer\":\"a:b=c\",\"Rate\":3.0,\"Text\":\"\303\251/"
    "\"}";

Test(jolokia, mends_by_declared_types_in_the_same_round_trip)
{
    static char first[2000], second[2000]; /* the peer outlives this function */
    (void)snprintf(first, sizeof first, "[%s,%s]", types, values);
    (void)snprintf(second, sizeof second, "[%s]", values);
    static const struct answer answers[] = {
        {"\"type\":\"list\",\"path\":\"a!/x/type=K\"", 200, first}, {NULL, 200, second}};
    begin(answers, (struct fm_jmx_opts){.username = "joe", .password = "pw"});
    for (int i = 0; i < 2; i++) {
        struct fm_jmx_call call = read_all("a/x:type=K");
        cr_assert_eq(run(&call, 1), FM_OK, "%s", k.err.text);
        cr_assert_eq(call.code, FM_OK, "%s", call.err.text);
        expect_json(&call.value, mended);
        cr_expect_eq(k.cost.round_trips, 1);
    }
    cr_expect_null(strstr(k.seen, "\"list\""), "types are asked once: %s", k.seen);
    cr_expect_not_null(strstr(k.seen, "Authorization: Basic am9lOnB3"));
    cr_expect_not_null(strstr(k.seen, "POST /jolokia/?includeStackTrace=false&ignoreErrors=true"));
}

Test(jolokia, tells_the_errors_of_items_apart)
{
    static const struct answer answers[] = {
        {NULL, 200,
         "[" FAIL(403, "java.lang.SecurityException", "no list") "," FAIL(
             404, "javax.management.InstanceNotFoundException",
             "no such bean") "," FAIL(403, "java.lang.SecurityException",
                                      "no search") "," FAIL(403, "java.lang.SecurityException",
                                                            "no list") "," FAIL(500,
                                                                                "java.lang."
                                                                                "IllegalStateExcept"
                                                                                "ion",
                                                                                "broken "
                                                                                "getter") "," OK("["
                                                                                                 "\"d:b=1,a=2\",\"c:x=y\"]") "]"}};
    static const char *const one[] = {"A"};
    struct fm_jmx_call calls[] = {
        read_all("a:b=c"),
        {.op = FM_JMX_NAMES, .name = "x:*"},
        {.op = FM_JMX_REASON, .name = "a:b=d", .attributes = one, .n_attributes = 1},
        {.op = FM_JMX_NAMES},
        {.op = FM_JMX_READ, .name = "not a name", .attributes = one, .n_attributes = 1}};
    begin(answers, (struct fm_jmx_opts){0});
    cr_assert_eq(run(calls, 5), FM_OK, "%s", k.err.text);
    cr_expect_eq(calls[0].code, FM_ENOTFOUND, "%s", calls[0].err.text);
    cr_expect_eq(calls[1].code, FM_EPERM, "%s", calls[1].err.text);
    cr_expect_eq(calls[2].code, FM_EREMOTE, "%s", calls[2].err.text);
    cr_expect_not_null(strstr(calls[2].err.text, "broken getter"));
    expect_json(&calls[3].value, "[\"c:x=y\",\"d:a=2,b=1\"]");
    cr_expect_eq(calls[4].code, FM_EUSAGE, "never sent");
    cr_expect_null(strstr(k.seen, "not a name"));
}

Test(jolokia, finds_the_call_for_which_a_bulk_is_refused)
{
    static const struct answer answers[] = {
        {"bad:x=", 200, FAIL(400, "java.lang.IllegalArgumentException", "cannot parse")},
        {"x:n=1", 400, "bad request"},
        {"\"x:n=0\"},{", 200, "[" OK("[]") "," OK("[]") "]"},
        {NULL, 200, "[" OK("[]") "]"}};
    struct fm_jmx_call calls[] = {{.op = FM_JMX_NAMES, .name = "x:n=0"},
                                  {.op = FM_JMX_NAMES, .name = "bad:x=*"},
                                  {.op = FM_JMX_NAMES, .name = "x:n=1"},
                                  {.op = FM_JMX_NAMES, .name = "x:n=2"}};
    begin(answers, (struct fm_jmx_opts){0});
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run(calls, 4), FM_OK, "%s", k.err.text);
        cr_expect_eq(calls[0].code, FM_OK, "%s", calls[0].err.text);
        cr_expect_eq(calls[1].code, FM_EREMOTE, "%s", calls[1].err.text);
        cr_expect_eq(calls[2].code, FM_EREMOTE, "%s", calls[2].err.text);
        cr_expect_eq(calls[3].code, FM_OK, "%s", calls[3].err.text);
    }
    cr_expect_eq(k.cost.round_trips, 1, "the culprits are not asked again: %u", k.cost.round_trips);
}

Test(jolokia, does_not_take_the_proxy_for_the_target)
{
    static const struct answer own[] = {
        {NULL, 200, "[" OK("\"7@proxy\"") "," OK("\"7@proxy\"") "]"}};
    struct fm_jmx_call call = {.op = FM_JMX_NAMES};
    begin(own, (struct fm_jmx_opts){.jolokia_target = "service:jmx:rmi:///jndi/rmi://h:1/jmxrmi",
                                    .jolokia_username = "u",
                                    .jolokia_password = "canary"});
    cr_expect_eq(run(&call, 1), FM_ECONF, "%s", k.err.text);
    cr_expect_not_null(strstr(k.err.text, "jolokia_target"), "%s", k.err.text);
    cr_expect_null(strstr(k.err.text, "canary"));
    cr_expect_not_null(strstr(k.seen, "\"user\":\"u\",\"password\":\"canary\""));
    static const struct answer good[] = {
        {"Runtime", 200, "[" OK("\"8@target\"") "," OK("\"7@proxy\"") "]"},
        {"\"target\":{\"url\":\"service:", 200, "[" OK("[\"a:b=c\"]") "]"},
        {NULL, 500, "no target"}};
    k.answers = good;
    cr_expect_eq(run(&call, 1), FM_OK, "%s", k.err.text);
    expect_json(&call.value, "[\"a:b=c\"]");
}

struct failure {
    unsigned status;
    const char *body;
    enum fm_code code;
    const char *words;
};

Test(jolokia, names_what_failed_for_the_whole_session)
{
    static const struct failure table[] = {
        {401, "", FM_EAUTH, "password"},
        {403, "", FM_EPERM, "policy"},
        {404, "", FM_ENOTFOUND, "path"},
        {503, "", FM_ECONNECT, "503"},
        {302, "", FM_EPROTO, "leads elsewhere"},
        {200, "<html>", FM_EPROTO, "not Jolokia's"},
        {200, "[]", FM_EPROTO, "0 of 1"},
        {200, "[{\"status\":200,\"value\":[", FM_EPROTO, "not Jolokia's"},
        {200, FAIL(403, "java.lang.Exception", "host"), FM_EPERM, "policy"},
    };
    struct answer answers[1] = {{0}};
    begin(answers, (struct fm_jmx_opts){0});
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fm_jmx_call call = {.op = FM_JMX_NAMES};
        answers[0] = (struct answer){NULL, table[i].status, table[i].body};
        enum fm_code code = run(&call, 1);
        cr_expect(code == table[i].code && call.code == code &&
                      strstr(k.err.text, table[i].words) != NULL,
                  "%zu: %s %s", i, fm_code_name(code), k.err.text);
    }
}

Test(jolokia, gives_up_at_the_deadline_and_can_be_freed_under_way)
{
    static const struct answer silent[] = {{NULL, 0, NULL}};
    struct fm_jmx_call call = {.op = FM_JMX_NAMES};
    begin(silent, (struct fm_jmx_opts){.timeout_ms = 300});
    cr_expect_eq(run(&call, 1), FM_ETIMEOUT, "%s", k.err.text);
    cr_expect_eq(call.code, FM_ETIMEOUT);
    fm_jmx_done *none = NULL;
    cr_expect_eq(fm_jmx_start(k.jmx, &call, 1, &k.arena, none, NULL, &k.err), FM_OK);
    fm_jmx_free(k.jmx);
    k.jmx = NULL;
    cr_expect_eq(fm_client_active(k.client), 0);
}

Test(jolokia, takes_no_marker_for_a_value)
{
    static const struct {
        const char *json;
        enum fm_code code;
        const char *printed;
    } table[] = {
        {"\"Unsupported\"", FM_EREMOTE, ""},
        {"\"[Object limit exceeded]\"", FM_EREMOTE, ""},
        {"\"[Depth limit 3]\"", FM_EREMOTE, ""},
        {"{\".error\":true,\"error_type\":\"T\",\"error\":\"e\"}", FM_EREMOTE, ""},
        {"{\"a\":1,\"b\":\"[this]\",\"c\":[\"Unsupported\",2]}", FM_OK, "{\"a\":1,\"c\":[null,2]}"},
        {"\"Unsupported!\"", FM_OK, "\"Unsupported!\""},
        {"{\".error\":false}", FM_OK, "{\".error\":false}"},
        {"null", FM_OK, "null"},
        {"123456789012345678901234567890", FM_OK, "123456789012345678901234567890"},
        {"{\"a\":1,\"a\":2}", FM_EPROTO, ""},
        {"[1,", FM_EPROTO, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fm_value v;
        struct fm_err err = {0};
        const char *json = table[i].json;
        enum fm_code code = fm_jolokia_value(&v, &k.arena, json, strlen(json), FM_MEND_NONE, &err);
        cr_expect_eq(code, table[i].code, "%s: %s", json, fm_code_name(code));
        if (code == FM_OK)
            expect_json(&v, table[i].printed);
    }
}

Test(jolokia, mends_numbers_and_texts_that_agents_wrap)
{
    static const struct {
        const char *json;
        enum fm_jolokia_mend mend;
        const char *printed;
    } table[] = {
        {"{\"bigint\":\"12\"}", FM_MEND_BIG, "\"12\""},
        {"12", FM_MEND_BIG, "\"12\""},
        {"1.5E3", FM_MEND_BIG, "\"1.5E3\""},
        {"[{\"objectName\":\"a:b=c\"},null]", FM_MEND_OBJECT_NAME, "[\"a:b=c\",null]"},
        {"{\"objectName\":1}", FM_MEND_OBJECT_NAME, "{\"objectName\":1}"},
        {"[1,300]", FM_MEND_BYTES, "[1,300]"},
        {"[]", FM_MEND_BYTES, "\"\""},
        {"1", FM_MEND_FLOAT, "1.0"},
        {"null", FM_MEND_DOUBLE, "null"},
        {"\"1970-01-01T00:00:00.250Z\"", FM_MEND_DATE, "250"},
        {"\"1969-12-31T23:00:00-0100\"", FM_MEND_DATE, "0"},
        {"\"2024-02-29T00:00:00Z\"", FM_MEND_DATE, "1709164800000"},
        {"\"yesterday, at twelve o'clock\"", FM_MEND_DATE, "\"yesterday, at twelve o'clock\""},
        {"\"2024-02-29T00:00:00+01:0\"", FM_MEND_DATE, "\"2024-02-29T00:00:00+01:0\""},
        {"17", FM_MEND_DATE, "17"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fm_value v;
        struct fm_err err = {0};
        const char *json = table[i].json;
        cr_assert_eq(fm_jolokia_value(&v, &k.arena, json, strlen(json), table[i].mend, &err), FM_OK,
                     "%s: %s", json, err.text);
        expect_json(&v, table[i].printed);
    }
}
