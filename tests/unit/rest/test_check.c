#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "net/client.h"
#include "rest/rest.h"
#include "sandbox/sandbox.h"

struct seen {
    unsigned failures;
    char sentence[400];
    enum fm_rest_check auth;
};

static void note(void *arg, const struct fm_rest_step *step)
{
    struct seen *seen = arg;
    if (strcmp(step->step, "auth") == 0)
        seen->auth = step->verdict;
    if (step->verdict != FM_REST_CHECK_FAIL)
        return;
    seen->failures++;
    (void)snprintf(seen->sentence, sizeof seen->sentence, "%s", step->sentence);
}

/* Ask a sandbox that wants anna and her password. */
static enum fm_code ask(const char *password, struct seen *seen)
{
    const struct fm_sandbox_opts sopts = {.username = "anna", .password = "right"};
    struct fm_sandbox *sandbox = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_sandbox_start(&sandbox, &sopts, &err), FM_OK, "%s", err.text);
    char url[64];
    const char *urls[] = {url};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    const struct fm_rest_opts opts = {.urls = urls,
                                      .n_urls = 1,
                                      .auth = FM_REST_AUTH_BASIC,
                                      .username = "anna",
                                      .password = password};
    enum fm_code code = fm_rest_check(&opts, "jmx", note, seen, &err);
    fm_sandbox_stop(sandbox);
    return code;
}

Test(check, names_a_wrong_password_and_the_settings_to_correct)
{
    struct seen seen = {0};
    cr_expect_eq(ask("wrong", &seen), FM_EREMOTE);
    cr_expect_eq(seen.failures, 1);
    cr_expect_eq(seen.auth, FM_REST_CHECK_FAIL);
    cr_expect(strstr(seen.sentence, "401") != NULL, "%s", seen.sentence);
    cr_expect(strstr(seen.sentence, "check [rest] auth, username, password") != NULL, "%s",
              seen.sentence);
}

Test(check, is_content_with_the_right_password)
{
    struct seen seen = {0};
    cr_expect_eq(ask("right", &seen), FM_OK);
    cr_expect_eq(seen.failures, 0, "%s", seen.sentence);
    cr_expect_eq(seen.auth, FM_REST_CHECK_OK);
}
