#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "jmx/local/local_priv.h"

enum {
    ANSWER_MAX = 256 * 1024,
    TRIGGER_WAIT_MS = 10000, /* a JVM answers the signal within 60 ms, a busy one within seconds */
    DEFAULT_TIMEOUT_MS = 10000,
    SIGQUIT_BIT = 4
};

/* One request and its answer. Lives in one block so that a forked child needs no memory of its own.
 */
struct exchange {
    pid_t pid, ns_pid;
    uid_t uid;
    gid_t gid;
    int64_t deadline_ms;
    int tmp, cwd, pidfd; /* of the target; -1: cannot be had */
    char socket_name[32], trigger_name[32];
    char request[256];
    size_t request_len;
    enum fm_code code;
    struct fm_err err;
    size_t len;
    char answer[ANSWER_MAX];
};

static enum fm_code fail(struct exchange *x, enum fm_code code, const char *what, int sys)
{
    x->code = code;
    if (sys != 0)
        return fm_err_set(&x->err, code, "attach to JVM %d: %s: %s", (int)x->pid, what,
                          strerrordesc_np(sys));
    return fm_err_set(&x->err, code, "attach to JVM %d: %s", (int)x->pid, what);
}

static int left_ms(const struct exchange *x)
{
    int64_t left = x->deadline_ms - fm_clock_ms();
    return left > 0 ? (int)left : 0;
}

/* Connect to the JVM's socket if it is one and belongs to the JVM.
 * @return the descriptor; -1 with errno, ENOENT or ECONNREFUSED: nobody listens */
static int connect_socket(const struct exchange *x)
{
    FM_AUTO(fm_auto_close)
    int path = openat(x->tmp, x->socket_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (path < 0 || fstat(path, &st) != 0)
        return -1;
    if (!S_ISSOCK(st.st_mode) || st.st_uid != x->uid) {
        errno = EPERM;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d", path);
    struct ucred peer = {0};
    socklen_t peer_len = sizeof peer;
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) == 0) {
        if (peer.uid == x->uid && (peer.pid == 0 || peer.pid == x->pid))
            return fd;
        errno = EPERM;
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

/* A process that does not catch SIGQUIT dies from it; a stopped one would take it late, when the
 * trigger file is gone, and print a thread dump. The process descriptor was opened before these
 * looks, so the signal cannot reach a process that got the pid later. */
static enum fm_code may_signal(struct exchange *x)
{
    struct fm_proc proc;
    if (fm_proc_read(&proc, x->pid, NULL) != FM_OK)
        return fail(x, FM_EGONE, "the process has ended", 0);
    if (proc.uid != x->uid || proc.ns_pid != x->ns_pid)
        return fail(x, FM_EGONE, "another process has its number now", 0);
    if (proc.state == 'T' || proc.state == 't')
        return fail(x, FM_ETIMEOUT, "the process is stopped (SIGSTOP or a debugger)", 0);
    if ((proc.caught & SIGQUIT_BIT) == 0 || (proc.ignored & SIGQUIT_BIT) != 0)
        return fail(x, FM_EAGAIN, "it does not handle SIGQUIT (is it still starting?)", 0);
    return FM_OK;
}

/* @return the folder the file was made in; -1 with errno */
static int make_trigger(const struct exchange *x)
{
    const int places[] = {x->tmp, x->cwd};
    for (size_t i = 0; i < 2; i++) {
        if (places[i] < 0)
            continue;
        int fd = openat(places[i], x->trigger_name,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat st;
        bool ours = fd >= 0;
        if (!ours && errno == EEXIST) /* left by one that was killed, or another is attaching now */
            ours = fstatat(places[i], x->trigger_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                   S_ISREG(st.st_mode) && st.st_size == 0 && st.st_uid == geteuid();
        if (fd >= 0)
            (void)close(fd);
        if (ours)
            return places[i];
    }
    return -1;
}

static int wait_for_socket(const struct exchange *x)
{
    int64_t until = fm_clock_ms() + TRIGGER_WAIT_MS;
    if (until > x->deadline_ms)
        until = x->deadline_ms;
    for (int wait = 10;; wait = wait < 100 ? wait * 2 : 100) {
        (void)poll(NULL, 0, wait);
        int fd = connect_socket(x);
        if (fd >= 0)
            return fd;
        int saved = errno;
        struct pollfd gone = {.fd = x->pidfd, .events = POLLIN};
        if (poll(&gone, 1, 0) == 1) {
            errno = ESRCH;
            return -1;
        }
        errno = saved;
        if (fm_clock_ms() >= until)
            return -1;
    }
}

/* Make the JVM open its socket. @return FM_OK with a connection in *out */
static enum fm_code trigger(struct exchange *x, int *out)
{
    if (x->pidfd < 0)
        return fail(x, FM_EPERM, "this kernel has no pidfd_open (Linux 5.3)", 0);
    FM_TRY(may_signal(x));
    int place = make_trigger(x);
    if (place < 0)
        return fail(x, FM_EPERM, "cannot create the trigger file", errno);
    int sys = 0;
    if (syscall(SYS_pidfd_send_signal, x->pidfd, SIGQUIT, NULL, 0) != 0)
        sys = errno;
    *out = sys == 0 ? wait_for_socket(x) : -1;
    int wait_sys = errno;
    (void)unlinkat(place, x->trigger_name, 0);
    if (sys != 0)
        return fail(x, sys == ESRCH ? FM_EGONE : FM_EPERM, "cannot signal it", sys);
    if (*out >= 0)
        return FM_OK;
    if (wait_sys == ESRCH)
        return fail(x, FM_EGONE, "the process has ended", 0);
    if (wait_sys == EPERM || wait_sys == EACCES)
        return fail(x, FM_EPERM, "its attach socket belongs to somebody else", 0);
    return fail(x, FM_ETIMEOUT, "it did not open its attach socket (JVM busy, or it refuses us)",
                0);
}

static enum fm_code wait_io(struct exchange *x, int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int rc = 0;
    do
        rc = poll(&p, 1, left_ms(x));
    while (rc < 0 && errno == EINTR);
    return rc > 0 ? FM_OK : fail(x, FM_ETIMEOUT, "no answer within the time limit", 0);
}

static enum fm_code talk(struct exchange *x, int fd)
{
    for (size_t sent = 0; sent < x->request_len;) {
        FM_TRY(wait_io(x, fd, POLLOUT));
        ssize_t n = send(fd, x->request + sent, x->request_len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail(x, FM_ECLOSED, "cannot send", errno);
        sent += n > 0 ? (size_t)n : 0;
    }
    for (;;) {
        FM_TRY(wait_io(x, fd, POLLIN));
        ssize_t n = recv(fd, x->answer + x->len, sizeof x->answer - x->len, 0);
        if (n == 0)
            return FM_OK;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail(x, FM_ECLOSED, "cannot receive", errno);
        x->len += n > 0 ? (size_t)n : 0;
        if (x->len == sizeof x->answer)
            return fail(x, FM_ELIMIT, "its answer is longer than 256 KiB", 0);
    }
}

/* Steps 1 to 3 of the protocol. Allocates nothing: also runs in a forked child. */
static void exchange_run(struct exchange *x)
{
    x->code = FM_OK;
    x->len = 0;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)x->pid);
    x->pidfd = (int)syscall(SYS_pidfd_open, x->pid, 0);
    x->tmp = fm_proc_tmp(x->pid);
    int tmp_sys = errno;
    x->cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    FM_AUTO(fm_auto_close) int tmp = x->tmp, cwd = x->cwd, pidfd = x->pidfd;
    if (tmp < 0) {
        (void)fail(x, tmp_sys == ENOENT || tmp_sys == ESRCH ? FM_EGONE : FM_EPERM,
                   "cannot look into its /tmp", tmp_sys);
        return;
    }
    FM_AUTO(fm_auto_close) int fd = connect_socket(x);
    if (fd < 0 && errno == EAGAIN) {
        fd = wait_for_socket(x);
        if (fd < 0) {
            (void)fail(x, FM_ETIMEOUT, "its attach socket is busy", 0);
            return;
        }
    }
    /* Missing, stale, or left by another owner in an earlier life: the signal makes a new one. */
    if (fd < 0 && trigger(x, &fd) != FM_OK)
        return;
    (void)talk(x, fd);
}

/* ---- under the target's own user and group ---- */

static void child(struct exchange *x, int out)
{
    /* JDK 8 refuses everybody but its own effective uid and gid, root too. */
    if (setgroups(0, NULL) != 0 || setresgid(x->gid, x->gid, x->gid) != 0 ||
        setresuid(x->uid, x->uid, x->uid) != 0)
        (void)fail(x, FM_EPERM, "cannot become its user", errno);
    else
        exchange_run(x);
    const struct {
        const void *data;
        size_t len;
    } parts[] = {{&x->code, sizeof x->code}, {&x->err, sizeof x->err}, {x->answer, x->len}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (size_t sent = 0; sent < parts[i].len;) {
            ssize_t n = write(out, (const char *)parts[i].data + sent, parts[i].len - sent);
            if (n <= 0)
                _exit(1);
            sent += (size_t)n;
        }
    _exit(0);
}

static void read_child(struct exchange *x, int in)
{
    size_t head = sizeof x->code + sizeof x->err, got = 0;
    char *parts = (char *)malloc(head + ANSWER_MAX);
    FM_AUTO(fm_auto_free) char *owned = parts;
    while (parts != NULL && got < head + ANSWER_MAX) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, left_ms(x) + 500) <= 0)
            break;
        ssize_t n = read(in, parts + got, head + ANSWER_MAX - got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (got < head) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): FM_AUTO frees it, unseen by LLVM 14 */
        (void)fail(x, FM_ETIMEOUT, "its helper process did not answer in time", 0);
        return;
    }
    memcpy(&x->code, parts, sizeof x->code);
    memcpy(&x->err, parts + sizeof x->code, sizeof x->err);
    x->len = got - head;
    memcpy(x->answer, parts + head, x->len);
}

static void exchange_forked(struct exchange *x)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)fail(x, FM_ESYS, "no pipe", errno);
        return;
    }
    pid_t helper = fork();
    if (helper == 0)
        child(x, ends[1]);
    (void)close(ends[1]);
    if (helper < 0) {
        (void)fail(x, FM_ESYS, "cannot fork", errno);
    } else {
        read_child(x, ends[0]);
        (void)kill(helper, SIGKILL);
        while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
            ;
        /* A helper that had to be killed may have left its trigger file. */
        FM_AUTO(fm_auto_close) int tmp = x->code == FM_ETIMEOUT ? fm_proc_tmp(x->pid) : -1;
        struct stat st;
        if (tmp >= 0 && fstatat(tmp, x->trigger_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_size == 0 && st.st_uid == x->uid)
            (void)unlinkat(tmp, x->trigger_name, 0);
    }
    (void)close(ends[0]);
}

/* ---- requests ---- */

/* Protocol version 1: always three arguments. */
static void set_request(struct exchange *x, const char *command, const char *argument)
{
    const char *const words[] = {"1", command, argument, "", ""};
    x->request_len = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i]) + 1;
        memcpy(x->request + x->request_len, words[i], len);
        x->request_len += len;
    }
}

/* @return FM_OK with the text of an answer of code 0 */
static enum fm_code ask(struct exchange *x, const char *command, const char *argument,
                        const char **text, size_t *len, struct fm_err *err)
{
    set_request(x, command, argument);
    if (geteuid() == 0 && (x->uid != 0 || x->gid != getegid()))
        exchange_forked(x);
    else
        exchange_run(x);
    if (x->code != FM_OK)
        return fm_err_set(err, x->code, "%s", fm_err_text(&x->err));
    int code = 0;
    if (!fm_attach_answer(x->answer, x->len, &code, text, len))
        return fm_err_set(err, FM_EPROTO, "attach to JVM %d: its answer makes no sense",
                          (int)x->pid);
    if (code != 0)
        return fm_err_set(err, FM_EREMOTE, "attach to JVM %d: %s failed: %.*s", (int)x->pid,
                          command, (int)(*len < 160 ? *len : 160), *text);
    return FM_OK;
}

static enum fm_code address_of(const char **out, const struct fm_jvm *jvm, struct exchange *x,
                               struct fm_arena *arena, struct fm_err *err)
{
    const char *text = NULL;
    size_t len = 0;
    FM_TRY(ask(x, "jcmd", "ManagementAgent.start_local", &text, &len, err));
    char said[160];
    (void)snprintf(said, sizeof said, "%.*s", (int)(len < 150 ? len : 150), text);
    struct fm_jvm again;
    if (fm_jvm_find(&again, jvm->pid, arena, NULL) == FM_OK && again.address != NULL) {
        *out = again.address;
        return FM_OK;
    }
    FM_TRY(ask(x, "agentProperties", "", &text, &len, err));
    struct fm_buf value;
    fm_buf_init(&value, 16384);
    const char *address = NULL;
    bool found =
        fm_properties_get(text, len, "com.sun.management.jmxremote.localConnectorAddress", &value);
    if (found && fm_local_address_ok(value.data, value.len))
        address = fm_arena_strndup(arena, value.data, value.len);
    fm_buf_clear(&value);
    *out = address;
    if (address != NULL)
        return FM_OK;
    if (found)
        return fm_err_set(err, FM_EPROTO, "JVM %d names an address that is not on this host",
                          (int)jvm->pid);
    return fm_err_set(err, FM_EREMOTE, "JVM %d did not open its local connector%s%s", (int)jvm->pid,
                      said[0] != '\0' ? ": " : "", said);
}

enum fm_code fm_jvm_address(const char **out, const struct fm_jvm *jvm, bool attach,
                            unsigned timeout_ms, struct fm_arena *arena, struct fm_err *err)
{
    if (jvm->address != NULL) {
        *out = jvm->address;
        return FM_OK;
    }
    if (jvm->state == FM_JVM_STARTING)
        return fm_err_set(err, FM_EAGAIN, "JVM %d is starting", (int)jvm->pid);
    if (jvm->state != FM_JVM_ATTACHABLE)
        return fm_err_set(err, FM_EPERM, "JVM %d %s", (int)jvm->pid, jvm->note);
    if (!attach)
        return fm_err_set(err, FM_EPERM,
                          "JVM %d (%s) opened no JMX connector; attach = on of its target opens it "
                          "(-o target.attach=on)",
                          (int)jvm->pid, jvm->name);
    FM_AUTO(fm_auto_free) struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return fm_err_nomem(err);
    x->pid = jvm->pid;
    x->ns_pid = jvm->ns_pid;
    x->uid = jvm->uid;
    x->gid = jvm->gid;
    x->deadline_ms = fm_clock_ms() + (timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS);
    (void)snprintf(x->socket_name, sizeof x->socket_name, ".java_pid%d", (int)jvm->ns_pid);
    (void)snprintf(x->trigger_name, sizeof x->trigger_name, ".attach_pid%d", (int)jvm->ns_pid);
    return address_of(out, jvm, x, arena, err);
}
