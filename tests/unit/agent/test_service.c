#include <criterion/criterion.h>
#include <string.h>

#include "agent/service.h"

/* What happened, as letters: a starts, A stops, 1 joins; '!' a failing start. */
struct trace {
    char text[64];
    bool fail_c;
};

static void note(struct trace *t, char c)
{
    size_t n = strlen(t->text);
    t->text[n] = c;
}

static enum fm_code start_a(void *self, struct fm_err *err)
{
    (void)err;
    note(self, 'a');
    return FM_OK;
}
static void stop_a(void *self)
{
    note(self, 'A');
}
static void join_a(void *self, int64_t timeout_ms)
{
    note(self, timeout_ms > 0 ? '1' : '0');
}
static enum fm_code start_b(void *self, struct fm_err *err)
{
    (void)err;
    note(self, 'b');
    return FM_OK;
}
static void stop_b(void *self)
{
    note(self, 'B');
}
static enum fm_code start_c(void *self, struct fm_err *err)
{
    struct trace *t = self;
    note(t, t->fail_c ? '!' : 'c');
    return t->fail_c ? fm_err_set(err, FM_ECONF, "c refuses") : FM_OK;
}

static const struct fm_service services[] = {
    {"a", start_a, stop_a, join_a},
    {"b", start_b, stop_b, NULL},
    {"c", start_c, NULL, NULL},
};

Test(service, stops_in_reverse_order)
{
    struct trace t = {0};
    cr_assert_eq(fm_services_start(services, 3, &t, NULL, NULL), FM_OK);
    fm_services_stop(services, 3, &t, 1000, NULL);
    cr_assert_str_eq(t.text, "abcBA1");
}

Test(service, undoes_what_was_started_when_one_fails)
{
    struct trace t = {.fail_c = true};
    struct fm_err err = {0};
    cr_assert_eq(fm_services_start(services, 3, &t, NULL, &err), FM_ECONF);
    cr_assert_str_eq(err.text, "c refuses");
    cr_assert_str_eq(t.text, "ab!BA1");
}

Test(service, never_waits_once_the_time_is_used_up)
{
    struct trace t = {0};
    cr_assert_eq(fm_services_start(services, 1, &t, NULL, NULL), FM_OK);
    fm_services_stop(services, 1, &t, 0, NULL);
    cr_assert_str_eq(t.text, "aA0");
}
