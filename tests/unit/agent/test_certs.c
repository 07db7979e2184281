#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/certs.h"
#include "agent/document.h"

static struct fm_rest_stats stats_of(int endpoint, int other, int client)
{
    struct fm_rest_stats rest = {.n_endpoints = 2, .client_cert_days = client};
    rest.endpoints[0] = (struct fm_rest_endpoint){.url = "https://a", .cert_days = endpoint};
    rest.endpoints[1] = (struct fm_rest_endpoint){.url = "https://b", .cert_days = other};
    return rest;
}

struct teller {
    struct fm_certs certs;
    struct fm_log *log;
    int ends[2];
    char said[2000];
};

static void teller_init(struct teller *t)
{
    struct fm_err err = {0};
    *t = (struct teller){.certs = {.n = 0}};
    cr_assert_eq(pipe2(t->ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&t->log, t->ends[1], FM_LOG_INFO, FM_LOG_TEXT, &err), FM_OK);
}

/* @return what was logged, "" if nothing was */
static const char *tell(struct teller *t, int endpoint, int other, int client)
{
    struct fm_rest_stats rest = stats_of(endpoint, other, client);
    fm_certs_tell(&t->certs, &rest, "/c.pem", t->log);
    ssize_t n = read(t->ends[0], t->said, sizeof t->said - 1);
    t->said[n > 0 ? n : 0] = '\0';
    return t->said;
}

static void teller_end(struct teller *t)
{
    fm_log_free(t->log);
    (void)close(t->ends[0]);
    (void)close(t->ends[1]);
}

Test(certs, are_told_once_for_each_bound)
{
    struct teller t;
    teller_init(&t);
    cr_expect_str_eq(tell(&t, 15, -1, 15), "");
    cr_expect_not_null(strstr(tell(&t, 14, -1, 15), "the certificate of https://a ends in 14 days"),
                       "%s", t.said);
    cr_expect_str_eq(tell(&t, 14, -1, 15), "");
    cr_expect_str_eq(tell(&t, 4, 90, 15), "");
    cr_expect_str_eq(tell(&t, -1, 90, 15), ""); /* unknown for a while: nothing is forgotten */
    cr_expect_str_eq(tell(&t, 4, 90, 15), "");
    cr_expect_not_null(strstr(tell(&t, 3, 90, 15), "ends in 3 days"), "%s", t.said);
    cr_expect_str_eq(tell(&t, 1, 90, 15), "");
    cr_expect_not_null(strstr(tell(&t, 1, 90, 1), "certificate /c.pem ends in 1 day: "), "%s",
                       t.said);
    cr_expect_null(strstr(t.said, "https://a"), "%s", t.said);
    cr_expect_str_eq(tell(&t, 90, 90, 0), ""); /* renewed: the next end is told again */
    cr_expect_not_null(strstr(tell(&t, 0, 90, 0), "https://a ends within a day"), "%s", t.said);
    teller_end(&t);
}

Test(certs, stand_in_the_notes_of_health_without_spoiling_it)
{
    struct fm_rest_stats rest = stats_of(14, 15, 3);
    struct fm_facts facts = {.name = "edge", .rest = &rest, .cert_file = "/c.pem"};
    struct fm_buf out;
    fm_buf_init(&out, 0);
    cr_expect_eq(fm_document_health(&facts, &out, NULL), FM_HEALTH_OK);
    cr_expect_not_null(
        strstr(
            fm_buf_str(&out),
            "\"reasons\":[],\"notes\":[\"the certificate of https://a ends in 14 days: renew "
            "it\",\"[rest] cert_file: the client's certificate /c.pem ends in 3 days: renew it\","),
        "%s", fm_buf_str(&out));
    cr_expect_null(strstr(fm_buf_str(&out), "https://b"));
    fm_buf_reset(&out);
    facts.cert_file = NULL;
    cr_expect_eq(fm_document_health(&facts, &out, NULL), FM_HEALTH_OK);
    cr_expect_null(strstr(fm_buf_str(&out), "cert_file"), "there is none");
    fm_buf_clear(&out);
}
