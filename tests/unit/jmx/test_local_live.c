#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "jmx/local/local_priv.h"
#include "localjvm.h"

static void no_trigger_left(const struct localjvm *jvm)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/.attach_pid%d", (int)jvm->pid);
    cr_expect_eq(access(path, F_OK), -1, "%s was left", path);
    (void)snprintf(path, sizeof path, ".attach_pid%d", (int)jvm->pid);
    cr_expect_eq(access(path, F_OK), -1, "%s was left", path);
}

Test(local, opens_a_jvm_without_flags_and_forgets_a_dead_one, .timeout = 60)
{
    struct localjvm jvm = localjvm_start(NULL, NULL);
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jvm found, *list = NULL;
    struct fm_err err = {0};
    size_t n = 0, seen = 0;
    cr_assert_eq(fm_jvms_find(&list, &n, &arena, NULL, &err), FM_OK);
    for (size_t i = 0; i < n; i++)
        seen += list[i].pid == jvm.pid;
    cr_assert_eq(seen, 1);
    cr_assert_eq(fm_jvm_find(&found, jvm.pid, &arena, &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(found.name, "Fixture");
    cr_assert_eq(found.state, FM_JVM_ATTACHABLE, "%s", found.note);
    cr_expect_eq(found.uid, geteuid());
    cr_expect_eq(found.ns_pid, jvm.pid);
    cr_expect_lt(fm_wall_ms() - found.start_ms, 40000);

    const char *address = NULL;
    cr_assert_eq(fm_jvm_address(&address, &found, false, 1000, &arena, &err), FM_EPERM);
    cr_expect(strstr(err.text, "attach = on") != NULL, "%s", err.text);
    no_trigger_left(&jvm);

    /* A stopped JVM would take the signal later and print a thread dump: it is not sent. */
    cr_assert_eq(kill(jvm.pid, SIGSTOP), 0);
    int64_t start = fm_clock_ms();
    while (fm_clock_ms() - start < 5000) {
        struct fm_proc proc;
        if (fm_proc_read(&proc, jvm.pid, NULL) == FM_OK && proc.state == 'T')
            break;
    }
    cr_expect_eq(fm_jvm_address(&address, &found, true, 500, &arena, &err), FM_ETIMEOUT);
    cr_expect(strstr(err.text, "stopped") != NULL, "%s", err.text);
    cr_assert_eq(kill(jvm.pid, SIGCONT), 0);
    no_trigger_left(&jvm);

    cr_assert_eq(fm_jvm_address(&address, &found, true, 10000, &arena, &err), FM_OK, "%s",
                 err.text);
    cr_expect(fm_local_address_ok(address, strlen(address)), "%s", address);
    no_trigger_left(&jvm);
    cr_assert_eq(fm_jvm_find(&found, jvm.pid, &arena, &err), FM_OK);
    cr_expect_eq(found.state, FM_JVM_OPEN);
    cr_expect_str_eq(found.address, address);
    int64_t best = INT64_MAX; /* of ten: the machine has other work */
    for (int i = 0; i < 10; i++) {
        start = fm_clock_ns();
        cr_assert_eq(fm_jvm_find(&found, jvm.pid, &arena, &err), FM_OK);
        int64_t took = fm_clock_ns() - start;
        best = took < best ? took : best;
    }
    cr_expect_lt(best, 15000000, "finding one open JVM is slow: %lld ns", (long long)best);

    pid_t dead = jvm.pid;
    localjvm_kill(&jvm);
    cr_expect_eq(fm_jvm_find(&found, dead, &arena, &err), FM_ENOTFOUND);
    cr_assert_eq(fm_jvms_find(&list, &n, &arena, NULL, &err), FM_OK);
    for (size_t i = 0; i < n; i++)
        cr_expect_neq(list[i].pid, dead, "a stale file counts as a JVM");
    fm_arena_clear(&arena);
}

Test(local, leaves_jvms_alone_that_refuse_attach, .timeout = 60)
{
    const char *const refuse[] = {"-XX:+DisableAttachMechanism", NULL};
    const char *const silent[] = {"-XX:-UsePerfData", NULL};
    struct localjvm a = localjvm_spawn(refuse, NULL), b = localjvm_spawn(silent, NULL);
    localjvm_wait(&a);
    localjvm_wait(&b);
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jvm found;
    struct fm_err err = {0};
    const char *address = NULL;
    cr_assert_eq(fm_jvm_find(&found, a.pid, &arena, &err), FM_OK, "%s", err.text);
    cr_expect_eq(found.state, FM_JVM_NO_ATTACH);
    cr_expect(found.note != NULL && strstr(found.note, "DisableAttachMechanism") != NULL);
    cr_expect_eq(fm_jvm_address(&address, &found, true, 1000, &arena, &err), FM_EPERM);
    no_trigger_left(&a);

    /* Without hsperfdata it is found through /proc, and attach alone tells its address. */
    cr_assert_eq(fm_jvm_find(&found, b.pid, &arena, &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(found.name, "Fixture");
    cr_expect_eq(found.state, FM_JVM_ATTACHABLE);
    cr_expect(found.note != NULL);
    cr_assert_eq(fm_jvm_address(&address, &found, true, 10000, &arena, &err), FM_OK, "%s",
                 err.text);
    cr_expect(fm_local_address_ok(address, strlen(address)), "%s", address);
    localjvm_kill(&a);
    localjvm_kill(&b);
    fm_arena_clear(&arena);
}

Test(local, does_not_signal_what_is_no_jvm, .timeout = 60)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jvm found;
    struct fm_err err = {0};
    cr_assert_eq(fm_jvm_find(&found, getpid(), &arena, &err), FM_ENOTFOUND);
    /* Even when something claims that we are an attachable JVM: we do not catch SIGQUIT. */
    struct fm_jvm claim = {.pid = getpid(),
                           .ns_pid = getpid(),
                           .uid = geteuid(),
                           .gid = getegid(),
                           .name = "x",
                           .state = FM_JVM_ATTACHABLE};
    const char *address = NULL;
    (void)signal(SIGQUIT, SIG_DFL);
    cr_assert_eq(fm_jvm_address(&address, &claim, true, 500, &arena, &err), FM_EAGAIN, "%s",
                 err.text);
    cr_expect(strstr(err.text, "SIGQUIT") != NULL, "%s", err.text);
    fm_arena_clear(&arena);
}
