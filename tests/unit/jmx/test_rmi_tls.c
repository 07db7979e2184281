/* RMI over TLS with a real JVM, and where its connector is looked for (skipped without a JDK). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "certs.h"
#include "jmx/jmx.h"
#include "localjvm.h"

enum { QUICK_MS = 8000, TIMEOUT_MS = 20000 };

struct tls_live {
    struct localjvm jvm;
    struct fm_client *client;
    struct fm_arena arena;
    struct fm_err err;
    char paths[8][120];
    char options[10][160];
    size_t n_options;
    unsigned port; /* of the registry */
    unsigned rmi_port; /* of the connector */
};

static struct tls_live t;

static void open_live(void)
{
    if (access("/usr/bin/javac", X_OK) != 0)
        cr_skip_test("no JDK");
    struct fm_client_opts opts = {0};
    fm_arena_init(&t.arena, 0);
    cr_assert_eq(fm_net_init(&t.err), FM_OK);
    cr_assert_eq(fm_client_new(&t.client, &opts, &t.err), FM_OK);
}

static void close_live(void)
{
    fm_client_free(t.client);
    fm_arena_clear(&t.arena);
    if (t.jvm.pid > 0)
        localjvm_kill(&t.jvm);
}

TestSuite(rmi_tls, .init = open_live, .fini = close_live, .timeout = 90);
TestSuite(rmi_stub_host, .init = open_live, .fini = close_live, .timeout = 60);

static void option(const char *name, const char *value)
{
    cr_assert_lt(t.n_options, 10);
    (void)snprintf(t.options[t.n_options++], sizeof t.options[0], "-D%s=%s", name, value);
}

static void run_tool(const char *command)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "%s", command);
}

static void start_jvm(void)
{
    const char *list[11];
    char number[16];
    t.port = localjvm_port();
    t.rmi_port = localjvm_port();
    (void)snprintf(number, sizeof number, "%u", t.port);
    option("com.sun.management.jmxremote.port", number);
    (void)snprintf(number, sizeof number, "%u", t.rmi_port);
    option("com.sun.management.jmxremote.rmi.port", number);
    option("com.sun.management.jmxremote.authenticate", "false");
    for (size_t i = 0; i < t.n_options; i++)
        list[i] = t.options[i];
    list[t.n_options] = NULL;
    t.jvm = localjvm_start(list, NULL);
}

/* A JVM whose connector speaks TLS with a certificate for localhost of the test CA. */
static void start_tls(bool client_auth, bool registry)
{
    char command[1000];
    const char *dir = certs_dir();
    (void)snprintf(command, sizeof command,
                   "cd %s && exec >jks.log 2>&1 && "
                   "openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:changeit "
                   "-out server.p12 && keytool -importcert -noprompt -alias ca -file ca.pem "
                   "-storetype PKCS12 -storepass changeit -keystore trust.p12",
                   dir);
    run_tool(command);
    option("javax.net.ssl.keyStore", certs_path(t.paths[0], sizeof t.paths[0], "server.p12"));
    option("javax.net.ssl.keyStorePassword", "changeit");
    option("javax.net.ssl.trustStore", certs_path(t.paths[1], sizeof t.paths[1], "trust.p12"));
    option("javax.net.ssl.trustStorePassword", "changeit");
    option("com.sun.management.jmxremote.ssl.need.client.auth", client_auth ? "true" : "false");
    option("com.sun.management.jmxremote.registry.ssl", registry ? "true" : "false");
    start_jvm();
}

/* One session and one call. The sentence is in t.err; no failure may take long. */
static enum fm_code ask(struct fm_jmx_opts opts)
{
    static const char *const attributes[] = {"Uptime"};
    char url[64];
    struct fm_jmx *jmx;
    struct fm_jmx_call call = {.op = FM_JMX_READ,
                               .name = "java.lang:type=Runtime",
                               .attributes = attributes,
                               .n_attributes = 1};
    if (opts.url == NULL) {
        (void)snprintf(url, sizeof url, "localhost:%u", t.port);
        opts.url = url;
    }
    opts.client = t.client;
    opts.timeout_ms = TIMEOUT_MS;
    fm_err_clear(&t.err);
    cr_assert_eq(fm_jmx_new(&jmx, &opts, &t.err), FM_OK, "%s", t.err.text);
    int64_t began = fm_clock_ms();
    enum fm_code code = fm_jmx_run(jmx, &call, 1, &t.arena, NULL, &t.err);
    cr_expect(code == FM_OK || fm_clock_ms() - began < QUICK_MS, "only after %d ms: %s",
              (int)(fm_clock_ms() - began), t.err.text);
    cr_expect_eq(code, call.code);
    fm_jmx_free(jmx);
    return code;
}

static const char *path(const char *name)
{
    static unsigned next;
    char *out = t.paths[2 + next++ % 6];
    return certs_path(out, sizeof t.paths[0], name);
}

#define EXPECT(code_, expected, words)                                                             \
    do {                                                                                           \
        enum fm_code got_ = (code_);                                                               \
        cr_expect(got_ == (expected) && strstr(t.err.text, words) != NULL, "%s: %s",               \
                  fm_code_name(got_), t.err.text);                                                 \
    } while (0)

Test(rmi_tls, verifies_the_server_and_names_what_is_wrong)
{
    start_tls(false, false);
    struct fm_jmx_opts good = {.tls = true, .tls_opts = {.ca_file = path("ca.pem")}};
    cr_expect_eq(ask(good), FM_OK, "%s", t.err.text);

    struct fm_jmx_opts o = good;
    o.tls_opts.ca_file = path("other.pem");
    EXPECT(ask(o), FM_ETLS, "ca_file");
    o = good;
    o.tls_opts.ca_file = NULL;
    EXPECT(ask(o), FM_ETLS, "ca_file");
    o = good;
    o.tls_opts.verify_name = "elsewhere.test";
    EXPECT(ask(o), FM_ETLS, "another name");
    o.tls_opts.verify_chain_only = true;
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
    o = good;
    o.tls_opts.verify_name = "good.test";
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
    o = good;
    o.tls = false;
    EXPECT(ask(o), FM_ETLS, "tls = on");
    o = good;
    o.tls_registry = true;
    EXPECT(ask(o), FM_ETLS, "tls = on");
}

Test(rmi_tls, names_a_client_certificate_that_is_missing)
{
    start_tls(true, false);
    struct fm_jmx_opts o = {.tls = true, .tls_opts = {.ca_file = path("ca.pem")}};
    for (int i = 0; i < 5; i++) /* the alert comes at one moment or another */
        EXPECT(ask(o), FM_ETLS, "client certificate");
    o.tls_opts.cert_file = path("stranger.pem");
    o.tls_opts.key_file = path("stranger.key");
    for (int i = 0; i < 5; i++)
        EXPECT(ask(o), FM_ETLS, "client certificate");
    o.tls_opts.cert_file = path("client.pem");
    o.tls_opts.key_file = path("client.key");
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
}

Test(rmi_tls, speaks_tls_with_the_registry_too)
{
    start_tls(true, true);
    struct fm_jmx_opts o = {.tls_registry = true,
                            .tls_opts = {.ca_file = path("ca.pem"),
                                         .cert_file = path("client.pem"),
                                         .key_file = path("client.key")}};
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
    struct fm_jmx_opts no_cert = o;
    no_cert.tls_opts.cert_file = no_cert.tls_opts.key_file = NULL;
    for (int i = 0; i < 5; i++)
        EXPECT(ask(no_cert), FM_ETLS, "client certificate");
    o.tls_registry = false;
    o.tls = true;
    EXPECT(ask(o), FM_ETLS, "tls = registry");
}

Test(rmi_tls, sends_nothing_in_plain_to_a_connector_without_tls)
{
    option("com.sun.management.jmxremote.ssl", "false");
    start_jvm();
    struct fm_jmx_opts o = {.tls = true, .tls_opts = {.ca_file = path("ca.pem")}};
    EXPECT(ask(o), FM_ETLS, "does not speak TLS");
    o.tls = false;
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
}

Test(rmi_stub_host, is_followed_only_on_request)
{
    option("com.sun.management.jmxremote.ssl", "false");
    option("java.rmi.server.hostname", "nowhere.invalid");
    start_jvm();
    struct fm_jmx_opts o = {0};
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
    o.follow_stub_host = true;
    EXPECT(ask(o), FM_ENAME, "nowhere.invalid");
}

Test(rmi_stub_host, leads_to_another_address)
{
    /* A stub that names the other loopback address: the connector is there, and reached there. */
    option("com.sun.management.jmxremote.ssl", "false");
    option("java.rmi.server.hostname", "127.0.0.2");
    start_jvm();
    struct fm_jmx_opts o = {.follow_stub_host = true};
    cr_expect_eq(ask(o), FM_OK, "%s", t.err.text);
}
