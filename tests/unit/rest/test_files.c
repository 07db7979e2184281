/* Certificates in files: their days, and what happens when one is replaced. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs.h"
#include "rig.h"

static void copy(const char *from, const char *to)
{
    char command[300];
    (void)snprintf(command, sizeof command, "cp %s %s.new && mv %s.new %s", from, to, to, to);
    cr_assert_eq(system(command), 0);
}

static bool taken_over(void *arg)
{
    return rig_stats(arg).client_cert_days == 0;
}

Test(files, a_replaced_certificate_is_taken_over_without_a_restart)
{
    char path[200], cert[250];
    (void)snprintf(path, sizeof path, "%s/rest-client.pem", certs_dir());
    copy(certs_path(cert, sizeof cert, "client.pem"), path);
    struct fm_spool *spool = spool_new();
    struct mock *mock = mock_new(NULL, NULL);
    const char *urls[] = {mock_url(mock)};
    struct fm_rest_opts o = rig_opts(spool, urls, 1);
    o.tls.cert_file = path;
    spool_add(spool, "t", 10, 100, FM_RECORD_DATA);
    struct fm_rest *rest = rig_start(&o);
    rig_drain(rest, 3000);
    cr_assert_gt(rig_stats(rest).client_cert_days, 0);
    unsigned probes = mock_gets(mock);
    copy(certs_path(cert, sizeof cert, "expired.pem"), path);
    rig_wait(taken_over, rest, 5000, "the other certificate");
    spool_add(spool, "t", 10, 100, FM_RECORD_DATA);
    rig_drain(rest, 3000);
    cr_assert_gt(mock_gets(mock), probes); /* connections and states begin anew */
    cr_assert_eq(mock_stored(mock), 20);
    rig_check(rest, spool, mock);
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
}

struct rotated {
    atomic_bool now; /* the token's file holds another */
    atomic_uint old; /* requests with the old one since then */
};

static bool give_token(void *arg, struct fm_buf *out)
{
    struct rotated *r = arg;
    fm_buf_puts(out, r->now ? "second" : "first");
    return true;
}

static void count_old(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    struct rotated *r = arg;
    (void)m;
    (void)reply;
    if (r->now && strstr(req->head, "Authorization: Bearer second\r\n") == NULL)
        r->old++;
}

Test(files, a_replaced_certificate_does_not_bring_an_old_token_back)
{
    char path[200], cert[250];
    (void)snprintf(path, sizeof path, "%s/rest-token.pem", certs_dir());
    copy(certs_path(cert, sizeof cert, "client.pem"), path);
    struct fm_spool *spool = spool_new();
    struct rotated rotated = {.now = false};
    struct mock *mock = mock_new(count_old, &rotated);
    const char *urls[] = {mock_url(mock)};
    struct fm_rest_opts o = rig_opts(spool, urls, 1);
    o.tls.cert_file = path;
    o.auth = FM_REST_AUTH_BEARER;
    o.token = "first";
    o.secret = give_token;
    o.secret_arg = &rotated;
    struct fm_rest *rest = rig_start(&o);
    spool_add(spool, "t", 5, 100, FM_RECORD_DATA);
    rig_drain(rest, 3000);
    rotated.now = true;
    copy(certs_path(cert, sizeof cert, "expired.pem"), path);
    rig_wait(taken_over, rest, 5000, "the other certificate");
    spool_add(spool, "t", 5, 100, FM_RECORD_DATA);
    rig_drain(rest, 3000);
    cr_assert_eq(rotated.old, 0, "%u requests with the old token", rotated.old);
    rig_check(rest, spool, mock);
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
}

Test(files, without_a_certificate_there_are_no_days)
{
    char path[250];
    cr_assert_eq(fm_net_cert_until("/nonexistent"), 0);
    cr_assert_eq(fm_net_cert_until(certs_path(path, sizeof path, "client.key")), 0);
    cr_assert_gt(fm_net_cert_until(certs_path(path, sizeof path, "client.pem")), 1700000000);
}
