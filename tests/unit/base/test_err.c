#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/utf8.h"
#include "firstmile/err.h"

Test(err, every_code_has_name_class_and_text)
{
    for (int code = FM_OK; code <= FM_EBUG; code++) {
        cr_expect_eq(strncmp(fm_code_name((enum fm_code)code), "FM_", 3), 0);
        cr_expect(strlen(fm_code_text((enum fm_code)code)) > 3);
        cr_expect_eq(fm_code_class((enum fm_code)code) == FM_CLASS_NONE, code == FM_OK);
    }
    cr_assert_str_eq(fm_code_name(FM_ETIMEOUT), "FM_ETIMEOUT");
    cr_assert_eq(fm_code_class(FM_EUSAGE), FM_CLASS_CONF);
}

Test(err, null_is_allowed_everywhere)
{
    fm_err_clear(NULL);
    cr_expect_eq(fm_err_set(NULL, FM_EPROTO, "x"), FM_EPROTO);
    cr_expect_eq(fm_err_sys(NULL, ENOENT, "x"), FM_ESYS);
    cr_expect_eq(fm_err_nomem(NULL), FM_ENOMEM);
    cr_expect_eq(fm_err_context(NULL, "x"), FM_EBUG);
    cr_expect_str_eq(fm_err_text(NULL), "unknown error");
}

Test(err, a_sentence_is_one_line_whatever_a_peer_sent)
{
    struct fm_err err;
    cr_assert_eq(fm_err_set(&err, FM_EREMOTE, "said: %s", "a\nb\x1b[31mc\r\x7f"), FM_EREMOTE);
    cr_assert_str_eq(err.text, "said: a b [31mc  ");
}

Test(err, cuts_at_a_whole_character)
{
    char text[512];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    for (int lead = 0; lead < 3; lead++) {
        struct fm_err err;
        (void)fm_err_set(&err, FM_EREMOTE, "%.*s%s", lead, "xx", text);
        cr_expect(fm_utf8_valid(err.text, strlen(err.text)));
        cr_expect(strlen(err.text) > sizeof err.text - 5);
        (void)fm_err_context(&err, "%.*starget", lead, "yyy");
        cr_expect(fm_utf8_valid(err.text, strlen(err.text)));
        cr_expect(strlen(err.text) < sizeof err.text);
    }
}

Test(err, context_goes_in_front_once)
{
    struct fm_err err;
    (void)fm_err_set(&err, FM_ECONNECT, "connection refused");
    cr_assert_eq(fm_err_context(&err, "target %s", "orders"), FM_ECONNECT);
    cr_assert_str_eq(err.text, "target orders: connection refused");
}

Test(err, its_own_text_may_be_an_argument)
{
    struct fm_err err;
    (void)fm_err_set(&err, FM_ECONNECT, "inner");
    (void)fm_err_set(&err, FM_EPROTO, "outer (%s)", err.text);
    cr_assert_str_eq(err.text, "outer (inner)");
}

Test(err, sys_appends_the_systems_words)
{
    struct fm_err err;
    cr_assert_eq(fm_err_sys(&err, ENOSPC, "cannot write %s", "x"), FM_ESYS);
    cr_assert_str_eq(err.text, "cannot write x: No space left on device");
    cr_assert_eq(err.sys, ENOSPC);
    char longer[400];
    memset(longer, 'n', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)fm_err_sys(&err, ENOSPC, "%s", longer);
    cr_assert_eq(strlen(err.text), sizeof err.text - 1);
}

Test(err, without_a_sentence_the_codes_text_speaks)
{
    struct fm_err err = {.code = FM_EFULL};
    cr_assert_str_eq(fm_err_text(&err), "queue is full");
    (void)fm_err_set(&err, FM_EFULL, "no room");
    fm_err_clear(&err);
    cr_assert_eq(err.code, FM_OK);
    cr_assert_str_eq(fm_err_text(&err), "success");
}

static enum fm_code tried(enum fm_code code, int *reached)
{
    FM_TRY(code);
    *reached = 1;
    return FM_OK;
}

Test(err, try_leaves_at_the_first_failure)
{
    int reached = 0;
    cr_assert_eq(tried(FM_ELIMIT, &reached), FM_ELIMIT);
    cr_assert_eq(reached, 0);
    cr_assert_eq(tried(FM_OK, &reached), FM_OK);
    cr_assert_eq(reached, 1);
}
