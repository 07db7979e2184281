/* What `check` finds without asking anybody, and what it says of one that refuses. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "certs.h"
#include "program.h"

TestSuite(offline, .init = program_set_up, .fini = program_tear_down, .timeout = 60);

static char out[256];

static const char *cert(const char *name)
{
    return certs_path(out, sizeof out, name);
}

/* The row of the last table that holds both texts. */
static void expect_row(const char *step, const char *result_and_detail)
{
    for (char *line = result.out; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t len = strcspn(line, "\n");
        if (memmem(line, len, step, strlen(step)) != NULL &&
            memmem(line, len, result_and_detail, strlen(result_and_detail)) != NULL)
            return;
        if (*line == '\0')
            break;
    }
    cr_expect(false, "no row with \"%s\" and \"%s\" in\n%s%s", step, result_and_detail, result.out,
              result.err);
}

static size_t times(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void write_config(const char *format, const char *a)
{
    char text[2048];
    /* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): from this file */
    (void)snprintf(text, sizeof text, "[rest]\nurl = https://rest.example.com\n%s%s\n", format, a);
    program_file("config.ini", text);
}

Test(offline, looks_at_certificates_and_keys)
{
    char text[1024];
    char ca[256];
    (void)certs_path(ca, sizeof ca, "ca.pem");
    (void)snprintf(text, sizeof text,
                   "[rest]\nurl = https://h\nca_file = %s\ncert_file = absent.pem\nkey_file = %s\n"
                   "[target:a]\nurl = h:1\nca_file = config.ini\n[target:b]\nurl = h:1\n"
                   "ca_file = config.ini\n[target:c]\nurl = h:1\ncert_file = .\n",
                   ca, cert("client.key"));
    program_file("config.ini", text);
    cr_assert_eq(chmod(out, 0644), 0);
    cr_expect_eq(RUN("check", "--offline"), 1);
    expect_row("[rest] ca_file", "ok      certificates: 1");
    expect_row("[rest] cert_file", "FAIL    cannot be read: No such file or directory");
    expect_row("[rest] key_file", "warn    everybody can read this private key; chmod 600");
    expect_row("[target:a] ca_file", "FAIL    holds no certificate in PEM form");
    expect_row("[target:c] cert_file", "FAIL    is not a regular file");
    cr_expect_eq(times(result.out, "[target:b]"), 0, "one file, told once:\n%s", result.out);
    expect_sentence("check: 3 steps failed");
    cr_assert_eq(chmod(out, 0600), 0);
    write_config("key_file = ", cert("client.key"));
    cr_expect_eq(RUN("check", "--offline"), 0, "%s", result.out);
    write_config("key_file = ", ca);
    cr_expect_eq(RUN("check", "--offline"), 1);
    expect_row("[rest] key_file", "FAIL    holds no private key in PEM form");
    program_file("empty", "");
    write_config("format = avro\nschema_file = ", "empty");
    cr_expect_eq(RUN("check", "--offline"), 1);
    expect_row("[rest] schema_file", "FAIL    is empty");
}

Test(offline, looks_at_the_place_of_the_spool_and_its_room)
{
    write_config("[spool]\npath = ", "config.ini/spool");
    cr_expect_eq(RUN("check", "--offline"), 1);
    expect_row("place", "FAIL    cannot open config.ini/spool/lock: Not a directory");
    cr_expect_null(strstr(result.out, "room"), "%s", result.out);
    write_config("[spool]\nmax_size = 1024GiB\npath = ", "sp");
    cr_expect_eq(RUN("check", "--offline"), 0);
    expect_row("place", "ok      will be created");
    expect_row("room", "but max_size is 1.0 TiB: the disk would be full before the spool is");
    write_config("[spool]\nmax_size = 16MiB\npath = ", "sp");
    cr_expect_eq(RUN("check", "--offline"), 0);
    cr_expect_null(strstr(result.out, "room"), "%s", result.out);
    write_config("[spool]\npath = ", "config.ini/spool"); /* the settings alone are asked for */
    cr_expect_eq(RUN("check", "--offline", "--dump"), 0, "%s", result.err);
}

Test(offline, says_that_the_disk_of_the_spool_is_full_now)
{
    char small[] = "/tmp/firstmile-small-XXXXXX", text[100];
    cr_assert_not_null(mkdtemp(small));
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", small, "tmpfs", 0, "size=4m,mode=0700") != 0) {
        (void)rmdir(small);
        cr_skip_test("needs the right to mount a small file system");
    }
    (void)snprintf(text, sizeof text, "%s/sp", small);
    write_config("[spool]\npath = ", text);
    cr_expect_eq(RUN("check", "--offline"), 0);
    expect_row("room",
               "warn    the disk is full now: 4.0 MiB are free, and the reserve alone needs "
               "8.0 MiB");
    (void)umount2(small, MNT_DETACH);
    (void)rmdir(small);
}

Test(offline, tells_a_disk_that_cannot_be_written_from_a_lack_of_rights)
{
    char disk[] = "/tmp/firstmile-rodisk-XXXXXX", spool[100], copy[400];
    cr_assert_not_null(mkdtemp(disk));
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", disk, "tmpfs", 0, "mode=0700") != 0) {
        (void)rmdir(disk);
        cr_skip_test("needs the right to mount a file system");
    }
    (void)snprintf(spool, sizeof spool, "%s/sp", disk);
    program_file("lines", "{\"a\":1}\n");
    cr_expect_eq(RUN("produce", "t", "lines", "--spool", spool, "--timeout", "300ms", "-o",
                     "rest.url=http://127.0.0.1:1", "-o", "spool.reserve=1MiB"),
                 1);
    cr_assert_eq(mount("none", disk, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    write_config("[spool]\npath = ", spool);
    cr_expect_eq(RUN("check", "--offline"), 1);
    expect_row("place", "FAIL    lies on a read-only file system; mount it writable");
    cr_expect_eq(RUN("spool", "status", "--spool", spool), 1);
    expect_err("lies on a read-only file system; mount it writable, or copy the folder elsewhere");
    (void)snprintf(copy, sizeof copy, "%s/copy", folder);
    const char *const cp[] = {"cp", "-a", spool, copy, NULL};
    pid_t pid;
    cr_assert_eq(posix_spawnp(&pid, "cp", NULL, NULL, (char *const *)(uintptr_t)cp, environ), 0);
    (void)waitpid(pid, NULL, 0);
    cr_expect_eq(RUN("spool", "status", "--spool", copy), 0, "%s", result.err);
    cr_expect_eq(RUN("spool", "export", "--spool", copy), 0, "%s", result.err);
    expect_out("{\"a\":1}");
    (void)umount2(disk, MNT_DETACH);
    (void)rmdir(disk);
}

Test(offline, dumps_into_the_array_with_json)
{
    program_file("config.ini", "[rest]\nurl = sandbox\n[spool]\npath = memory\n");
    const char *const more[] = {NULL, "--offline"};
    for (size_t i = 0; i < 2; i++) {
        (void)RUN("check", "--dump", "--json", more[i]);
        json_t *rows = json_loads(result.out, 0, NULL);
        cr_assert(json_is_array(rows), "%s", result.out);
        cr_expect_not_null(strstr(result.out, "\"dump\""), "%s", result.out);
        cr_expect_not_null(strstr(result.out, "path = memory"), "%s", result.out);
        json_decref(rows);
    }
}

Test(offline, warns_of_a_secret_that_goes_unencrypted)
{
    program_file("config.ini", "[rest]\nurl = http://127.0.0.1:1\nauth = basic\nusername = u\n"
                               "password = s\n[spool]\npath = memory\n"
                               "[target:a]\nurl = 127.0.0.1:1\n");
    char file[100];
    (void)snprintf(file, sizeof file, "%s/config.ini", folder);
    cr_assert_eq(chmod(file, 0600), 0);
    cr_expect_eq(RUN("check"), 1);
    expect_row("auth", "warn    the secret of [rest] auth goes there unencrypted");
    cr_expect_eq(RUN("check", "-o", "rest.url=https://127.0.0.1:1"), 1);
    cr_expect_null(strstr(result.out, "unencrypted"), "%s", result.out);
    cr_expect_eq(RUN("check", "-o", "rest.auth=none"), 1);
    cr_expect_null(strstr(result.out, "unencrypted"), "%s", result.out);
}

Test(offline, tells_the_faults_of_a_list_of_targets_once)
{
    program_file("list.json", "[{\"targets\":[\"a:1\",\"bad\"],\"labels\":{\"env\":5}},"
                              "{\"targets\":[\"worse\"]}]");
    program_file("config.ini", "[rest]\nurl = sandbox\n[spool]\npath = memory\n"
                               "[target:f]\ntargets_file = list.json\n");
    cr_expect_eq(RUN("check"), 1);
    cr_expect_eq(times(result.out, "list.json: group 1: label \"env\" is not a text"), 1, "%s",
                 result.out);
    expect_out("group 1, target 2: \"bad\" is no target");
    expect_out("group 2, target 1: \"worse\" is no target");
    expect_sentence("check: 1 step failed");
}

Test(offline, no_but_a_proxy_that_refuses_says_why_in_its_own_words)
{
    pid_t pid;
    program_file("right", "geheim\n");
    program_file("wrong", "falsch\n");
    char path[128], url[160];
    const char *const names[] = {"right", "wrong"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        cr_assert_eq(chmod(path, 0600), 0);
    }
    const char *const login[] = {"--user", "u", "--password-file", "right", NULL};
    (void)snprintf(url, sizeof url, "rest.url=%s", program_sandbox(&pid, login));
    program_file("config.ini", "[rest]\nauth = basic\nusername = u\npassword_file = wrong\n"
                               "[spool]\npath = memory\n[target:a]\nurl = localhost:1\n"
                               "[target:b]\nurl = localhost:1\ntopic = other\n");
    cr_expect_eq(RUN("check", "-o", url), 1);
    expect_row("auth", "FAIL    the proxy refuses the credentials (HTTP 401: Unauthorized); check");
    cr_expect_eq(times(result.out, "Unauthorized"), 1, "two topics, one reason:\n%s", result.out);
    cr_expect_eq(times(result.out, "  TCP  "), 1, "%s", result.out);
    program_file("lines", "{}\n");
    cr_expect_eq(RUN("produce", "t", "lines", "-o", url, "--timeout", "1s"), 1);
    expect_err("1 line is not acknowledged: REST proxy: the proxy refuses the credentials (HTTP "
               "401: Unauthorized)");
    cr_expect_null(strstr(result.err, "max.message.bytes"), "%s", result.err);
    cr_expect_null(strstr(result.err, "size limit"), "%s", result.err);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    program_reap(pid);
    cr_expect_eq(result.code, 0);
}

Test(offline, no_but_what_becomes_of_keys_and_headers_is_told)
{
    pid_t pid;
    char url[160];
    (void)snprintf(url, sizeof url, "rest.url=%s", program_sandbox(&pid, NULL));
    program_file("config.ini", "[record]\nheaders = a=b\n[spool]\npath = memory\n"
                               "[target:a]\nurl = localhost:1\n");
    cr_expect_eq(RUN("check", "-o", url), 1);
    expect_row("key", "keys are stored with their JSON quotes");
    expect_row("headers", "warn    [record] headers are not sent: only api = v3 has headers");
    expect_row("size limit", "ok      records up to 1048576 bytes");
    cr_expect_eq(RUN("check", "-o", url, "-o", "rest.format=binary", "-o", "record.headers="), 1);
    cr_expect_null(strstr(result.out, "JSON quotes"), "%s", result.out);
    cr_expect_null(strstr(result.out, "headers"), "%s", result.out);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    program_reap(pid);
    cr_expect_eq(result.code, 0);
}
