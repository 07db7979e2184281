#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/secret.h"
#include "loading.h"

TestSuite(secret, .fini = clean_up);

static const char *load_with(const char *path, bool fails, struct fm_config **out)
{
    static char text[300];
    (void)snprintf(text, sizeof text, "[rest]\nauth = bearer\ntoken_file = %s\n", path);
    if (fails)
        return errors_of(text, NULL, NULL);
    *out = load(text, NULL, NULL);
    return "";
}

static void expect(struct fm_secret *secret, const char *want)
{
    struct fm_buf got;
    struct fm_err err = {0};
    fm_buf_init(&got, 0);
    cr_assert_eq(fm_secret_get(secret, &got, &err), FM_OK, "%s", err.text);
    cr_assert_str_eq(fm_buf_str(&got), want);
    fm_secret_wipe(&got);
    cr_assert_eq(got.len, 0);
}

Test(secret, is_read_from_its_file_and_again_when_that_changes)
{
    struct fm_config *cfg = NULL;
    const char *path = put_file("token", "first\n", 0600);
    (void)load_with(path, false, &cfg);
    cr_assert_str_eq(fm_secret_file(cfg->rest.token), path);
    expect(cfg->rest.token, "first");
    (void)put_file("token.new", "second\r\n", 0400);
    cr_assert_eq(rename(path_in("token.new"), path), 0);
    expect(cfg->rest.token, "second");
    (void)put_file("token", "", 0600); /* in the middle of being written: the last one holds */
    struct fm_buf got;
    struct fm_err err = {0};
    fm_buf_init(&got, 0);
    cr_assert_eq(fm_secret_get(cfg->rest.token, &got, &err), FM_OK);
    cr_assert_str_eq(fm_buf_str(&got), "second");
    cr_assert_not_null(strstr(err.text, "is empty"));
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(fm_secret_get(cfg->rest.token, &got, &err), FM_OK);
    cr_assert_not_null(strstr(err.text, "No such file"), "%s", err.text);
    (void)put_file("token", "third", 0600);
    expect(cfg->rest.token, "third");
    fm_buf_clear(&got);
    fm_config_free(cfg);
}

Test(secret, that_is_not_set_is_empty)
{
    expect(NULL, "");
    cr_assert_null(fm_secret_file(NULL));
}

Test(secret, is_refused_in_a_file_that_others_can_read)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const char *said = load_with(put_file("token", "canary", modes[i]), true, NULL);
        cr_assert_not_null(strstr(said, "config.ini:3: [rest] token_file: others can read"), "%s",
                           said);
        cr_assert_not_null(strstr(said, "chmod 600"));
        cr_assert_null(strstr(said, "canary"));
    }
}

Test(secret, is_refused_from_what_is_no_plain_file)
{
    const char *plain = put_file("token", "x", 0600);
    const char *link = path_in("link"), *fifo = path_in("fifo");
    cr_assert_eq(symlink(plain, link), 0);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_assert_not_null(strstr(load_with(link, true, NULL), "is a symbolic link"));
    cr_assert_not_null(strstr(load_with(fifo, true, NULL), "is not a regular file"));
    cr_assert_not_null(strstr(load_with("/tmp", true, NULL), "is not a regular file"));
    cr_assert_not_null(strstr(load_with(path_in("none"), true, NULL), "No such file"));
    cr_assert_not_null(strstr(load_with(put_file("token", "\n", 0600), true, NULL), "is empty"));
    cr_assert_not_null(
        strstr(load_with(put_file("token", "a\r\nX: b", 0600), true, NULL), "control character"));
}

Test(secret, is_refused_from_a_foreign_owner_and_an_open_folder)
{
    const char *folder = path_in("open");
    const char *path = path_in("open/token");
    cr_assert_eq(mkdir(folder, 0700), 0);
    (void)put_file("open/token", "x", 0600);
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_assert_not_null(strstr(load_with(path, true, NULL), "its folder is writable by all"));
    cr_assert_eq(chmod(folder, 0700), 0);
    if (geteuid() == 0) { /* only root can give files away */
        cr_assert_eq(chown(path, 65534, 65534), 0);
        cr_assert_not_null(strstr(load_with(path, true, NULL), "belongs to user id 65534"));
    }
}

Test(secret, in_the_configuration_wants_that_file_closed)
{
    static const char text[] = "[rest]\nauth = basic\nusername = u\npassword = ${FM_TEST_PW}\n";
    (void)setenv("FM_TEST_PW", "pa$$word${x}", 1);
    struct fm_config *cfg = load(text, NULL, NULL);
    expect(cfg->rest.password, "pa$$word${x}");
    cr_assert_null(fm_secret_file(cfg->rest.password));
    fm_config_free(cfg);
    struct fm_err err = {0};
    cr_assert_eq(fm_config_load(&cfg, put_file("open.ini", text, 0640), NULL, &err), FM_ECONF);
    cr_assert_not_null(strstr(err.text, "open.ini:4: [rest] password: others can read"), "%s",
                       err.text);
    const char *said = errors_of("[rest]\npassword = a\npassword_file = /x\n", NULL, NULL);
    cr_assert_not_null(strstr(said, "config.ini:3: [rest] password is set already"), "%s", said);
}
