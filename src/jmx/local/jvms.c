#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/utf8.h"
#include "jmx/local/local_priv.h"

enum { NAME_MAX_BYTES = 100, SIGQUIT_BIT = 4, CLOCK_SLACK_MS = 1500, DIRS_MAX = 1024 };

/* What hsperfdata told; texts in the arena. */
struct facts {
    bool found; /* a live file of this process */
    bool unreadable; /* there is one, but it is not ours to read */
    bool accessible;
    const char *command, *java_version, *vm_version, *address, *capabilities;
    bool bad_address;
    int64_t begin_ms;
};

const char *fm_jvm_state_name(enum fm_jvm_state state)
{
    static const char *const names[] = {"open", "attachable", "no attach", "denied", "starting"};
    return names[state];
}

/* Length of the first word; a jar's path may hold blanks, then it ends at ".jar". */
static size_t main_len(const char *command)
{
    size_t word = strcspn(command, " ");
    if (command[0] != '/' || (word > 4 && strncasecmp(command + word - 4, ".jar", 4) == 0))
        return word;
    for (const char *p = strstr(command, ".jar"); p != NULL; p = strstr(p + 1, ".jar"))
        if (p[4] == ' ' || p[4] == '\0')
            return (size_t)(p + 4 - command);
    return word;
}

static bool ends_in(const char *text, size_t len, const char *end)
{
    size_t n = strlen(end);
    return len > n && strncasecmp(text + len - n, end, n) == 0;
}

char *fm_jvm_short_name(const char *command, struct fm_arena *arena)
{
    size_t len = main_len(command);
    const char *launcher = strstr(command, "com.sun.tools.javac.launcher.");
    bool source = launcher != NULL && launcher < command + len && command[len] == ' ';
    if (source) { /* java File.java: the class of the launcher says nothing */
        command += len + 1;
        len = main_len(command);
    }
    bool file = source || ends_in(command, len, ".jar") || ends_in(command, len, ".war") ||
                ends_in(command, len, ".java");
    size_t from = 0;
    for (size_t i = 0; i < len; i++)
        if (command[i] == '/' || (!file && command[i] == '.' && i + 1 < len))
            from = i + 1;
    if (len - from > NAME_MAX_BYTES)
        len = from + NAME_MAX_BYTES;
    if (len == from)
        return fm_arena_strndup(arena, "unknown", 7);
    char *name = fm_arena_strndup(arena, command + from, len - from);
    if (name == NULL)
        return NULL;
    fm_utf8_cut(name);
    for (char *p = name; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '_';
    return name;
}

static const char *user_name(uid_t uid, struct fm_arena *arena)
{
    struct passwd pw, *found = NULL;
    char block[4096];
    if (getpwuid_r(uid, &pw, block, sizeof block, &found) == 0 && found != NULL)
        return fm_arena_strndup(arena, pw.pw_name, strlen(pw.pw_name));
    char number[24];
    (void)snprintf(number, sizeof number, "%u", (unsigned)uid);
    return fm_arena_strndup(arena, number, strlen(number));
}

static void collect(struct facts *facts, const struct fm_hsperf *hs, struct fm_arena *arena)
{
    struct fm_hsperf_entry e;
    size_t at = 0;
    uint32_t index = 0;
    while (fm_hsperf_next(hs, &at, &index, &e)) {
        const char **text = NULL;
        if (strcmp(e.name, "sun.rt.javaCommand") == 0)
            text = &facts->command;
        else if (strcmp(e.name, "java.property.java.version") == 0)
            text = &facts->java_version;
        else if (strcmp(e.name, "java.property.java.vm.version") == 0)
            text = &facts->vm_version;
        else if (strcmp(e.name, "sun.rt.jvmCapabilities") == 0)
            text = &facts->capabilities;
        else if (strcmp(e.name, "sun.management.JMXConnectorServer.address") == 0)
            text = &facts->address;
        else if (strcmp(e.name, "sun.rt.createVmBeginTime") == 0 && e.type == 'J')
            facts->begin_ms = e.number;
        if (text != NULL && e.text != NULL)
            *text = fm_arena_strndup(arena, e.text, e.text_len);
    }
    if (facts->address != NULL && !fm_local_address_ok(facts->address, strlen(facts->address))) {
        facts->bad_address = facts->address[0] != '\0';
        facts->address = NULL;
    }
}

/* Read one hsperfdata file if it is what it should be and of a live process. */
static void read_file(struct facts *facts, int dir, const char *name, const struct fm_proc *proc,
                      struct fm_arena *arena)
{
    FM_AUTO(fm_auto_close)
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        struct stat st;
        if (errno == EACCES && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_uid == proc->uid)
            facts->unreadable = true;
        return;
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != proc->uid || st.st_size < 32 ||
        st.st_size > FM_HSPERF_MAX)
        return;
    FM_AUTO(fm_auto_free) unsigned char *data = malloc((size_t)st.st_size);
    if (data == NULL)
        return;
    ssize_t len = pread(fd, data, (size_t)st.st_size, 0);
    struct fm_hsperf hs;
    if (len <= 0 || fm_hsperf_init(&hs, data, (size_t)len, NULL) != FM_OK)
        return;
    struct facts got = {.found = true, .accessible = hs.accessible};
    collect(&got, &hs, arena);
    /* The file of a dead JVM stays after kill -9, and its pid may have been given away since: it is
     * older than the process. Only a clock that was set can make a live one look so; the mapping
     * settles that. */
    int64_t begin = got.begin_ms > 0 ? got.begin_ms : (int64_t)st.st_mtime * 1000 + 1000;
    char path[32];
    (void)snprintf(path, sizeof path, "/%d\n", (int)proc->ns_pid);
    if (begin + CLOCK_SLACK_MS < proc->start_ms &&
        !(fm_proc_maps(proc->pid, "/hsperfdata_") && fm_proc_maps(proc->pid, path)))
        return;
    *facts = got;
}

static int open_perf_dir(int tmp, const char *name)
{
    return openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static void find_file(struct facts *facts, int tmp, const struct fm_proc *proc, const char *user,
                      struct fm_arena *arena)
{
    char file[24], dir_name[300];
    (void)snprintf(file, sizeof file, "%d", (int)proc->ns_pid);
    (void)snprintf(dir_name, sizeof dir_name, "hsperfdata_%s", user);
    FM_AUTO(fm_auto_close) int own = strchr(user, '/') == NULL ? open_perf_dir(tmp, dir_name) : -1;
    if (own >= 0)
        read_file(facts, own, file, proc, arena);
    if (facts->found)
        return;
    DIR *list = NULL;
    int copy = openat(tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0 || (list = fdopendir(copy)) == NULL) {
        if (copy >= 0)
            (void)close(copy);
        return;
    }
    unsigned seen = 0;
    for (struct dirent *e; !facts->found && seen < DIRS_MAX && (e = readdir(list)) != NULL;) {
        if (strncmp(e->d_name, "hsperfdata_", 11) != 0 || strcmp(e->d_name, dir_name) == 0)
            continue;
        seen++;
        int dir = open_perf_dir(tmp, e->d_name);
        if (dir < 0)
            continue;
        read_file(facts, dir, file, proc, arena);
        (void)close(dir);
    }
    (void)closedir(list);
}

/* By name or by library; only looks into the mappings of processes with as many threads as a JVM
 * has at least. */
static bool looks_like_java(const struct fm_proc *proc)
{
    if (strcmp(proc->comm, "java") == 0 || strcmp(proc->comm, "jsvc") == 0)
        return true;
    return proc->threads >= 8 && fm_proc_maps(proc->pid, "/libjvm.so");
}

static const char *text_of(const char *value, const char *fallback)
{
    return value != NULL && value[0] != '\0' ? value : fallback;
}

static const char *note_user(struct fm_arena *arena, const char *user)
{
    char text[300];
    (void)snprintf(
        text, sizeof text,
        "belongs to user %s: run firstmile as that user or as root, or name its JMX port", user);
    fm_utf8_cut(text);
    return fm_arena_strndup(arena, text, strlen(text));
}

/* A JVM without readable hsperfdata: what /proc tells. */
static void judge_without(struct fm_jvm *jvm, const struct fm_proc *proc, const char *cmdline)
{
    if (strstr(cmdline, "-XX:+DisableAttachMechanism") != NULL) {
        jvm->state = FM_JVM_NO_ATTACH;
        jvm->note = "publishes nothing and refuses attach (-XX:+DisableAttachMechanism): start it "
                    "with -Dcom.sun.management.jmxremote.port=... and name that port";
    } else if (fm_proc_maps(jvm->pid, "/libj9vm") || !fm_proc_maps(jvm->pid, "/libjvm.so")) {
        bool young = proc->threads < 8;
        jvm->state = young ? FM_JVM_STARTING : FM_JVM_NO_ATTACH;
        jvm->note = young ? "is starting"
                          : "is no HotSpot JVM: start it with "
                            "-Dcom.sun.management.jmxremote.port=... and name that port";
    } else if ((proc->caught & SIGQUIT_BIT) == 0 && strstr(cmdline, "-Xrs") == NULL) {
        jvm->state = FM_JVM_STARTING;
        jvm->note = "is starting";
    } else {
        jvm->state = FM_JVM_ATTACHABLE;
        jvm->note = "publishes no hsperfdata (-XX:-UsePerfData, or no room in /tmp); "
                    "-o target.attach=on opens it";
    }
}

static void judge(struct fm_jvm *jvm, const struct fm_proc *proc, const struct facts *facts,
                  const char *cmdline, struct fm_arena *arena)
{
    uid_t self = geteuid();
    if (facts->unreadable || (!facts->found && self != 0 && self != proc->uid)) {
        jvm->state = FM_JVM_DENIED;
        jvm->note = note_user(arena, jvm->user);
    } else if (!facts->found) {
        judge_without(jvm, proc, cmdline);
    } else if (!facts->accessible || facts->capabilities == NULL || facts->command == NULL) {
        jvm->state = FM_JVM_STARTING;
        jvm->note = "is starting";
    } else if (facts->address != NULL) {
        jvm->state = FM_JVM_OPEN;
    } else if (facts->capabilities[0] == '0') {
        jvm->state = FM_JVM_NO_ATTACH;
        jvm->note = "opened no JMX connector and refuses attach (-XX:+DisableAttachMechanism): "
                    "start it with -Dcom.sun.management.jmxremote.port=... or without that option";
    } else {
        jvm->state = FM_JVM_ATTACHABLE;
        jvm->note =
            facts->bad_address
                ? "published an address that is not on this host; -o target.attach=on opens it anew"
                : "opened no JMX connector; -o target.attach=on opens it";
    }
}

const char *fm_jvm_cmdline(const struct fm_jvm *jvm, struct fm_arena *arena)
{
    return text_of(fm_proc_cmdline(jvm->pid, arena), "");
}

/* Command line without the options of the launcher: main class or jar first, as javaCommand has it.
 */
static const char *command_of(const char *cmdline)
{
    const char *p = cmdline + strcspn(cmdline, " ");
    while (*p == ' ') {
        p++;
        size_t len = strcspn(p, " ");
        if (p[0] != '-')
            return p;
        bool takes_value = (len == 3 && strncmp(p, "-cp", 3) == 0) ||
                           (len == 10 && strncmp(p, "-classpath", 10) == 0) ||
                           (len == 12 && strncmp(p, "--class-path", 12) == 0) ||
                           (len == 2 && strncmp(p, "-p", 2) == 0) ||
                           (len == 13 && strncmp(p, "--module-path", 13) == 0);
        p += len;
        if (takes_value && *p == ' ')
            p += 1 + strcspn(p + 1, " ");
    }
    return cmdline;
}

static enum fm_code fill(struct fm_jvm *out, const struct fm_proc *proc, const struct facts *facts,
                         struct fm_arena *arena, struct fm_err *err)
{
    const char *cmdline =
        facts->command == NULL || !facts->found ? fm_proc_cmdline(proc->pid, arena) : NULL;
    cmdline = text_of(cmdline, "");
    out->command = text_of(facts->command, command_of(cmdline));
    out->name = out->command[0] != '\0' ? fm_jvm_short_name(out->command, arena)
                                        : fm_jvm_short_name(proc->comm, arena);
    out->version = text_of(facts->java_version, text_of(facts->vm_version, "unknown"));
    out->address = facts->address;
    out->start_ms = facts->begin_ms > 0 ? facts->begin_ms : proc->start_ms;
    out->other_network = fm_proc_other_ns(proc->pid, "net");
    judge(out, proc, facts, cmdline, arena);
    if (out->name == NULL || out->user == NULL)
        return fm_err_nomem(err);
    return FM_OK;
}

static enum fm_code inspect(struct fm_jvm *out, const struct fm_proc *proc, struct fm_arena *arena,
                            const char *tmp_dir, struct fm_err *err)
{
    *out = (struct fm_jvm){
        .pid = proc->pid, .ns_pid = proc->ns_pid, .uid = proc->uid, .gid = proc->gid};
    out->user = user_name(proc->uid, arena);
    if (out->user == NULL)
        return fm_err_nomem(err);
    struct facts facts = {0};
    FM_AUTO(fm_auto_close)
    int tmp = tmp_dir == NULL && fm_proc_other_ns(proc->pid, "mnt")
                  ? fm_proc_tmp(proc->pid)
                  : open(tmp_dir != NULL ? tmp_dir : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tmp >= 0)
        find_file(&facts, tmp, proc, out->user, arena);
    if (!facts.found && !looks_like_java(proc))
        return fm_err_set(err, FM_ENOTFOUND, "process %d is no JVM", (int)proc->pid);
    return fill(out, proc, &facts, arena, err);
}

enum fm_code fm_jvm_find_in(struct fm_jvm *out, pid_t pid, struct fm_arena *arena,
                            const char *tmp_dir, struct fm_err *err)
{
    struct fm_proc proc;
    FM_TRY(fm_proc_read(&proc, pid, err));
    return inspect(out, &proc, arena, tmp_dir, err);
}

enum fm_code fm_jvm_find(struct fm_jvm *out, pid_t pid, struct fm_arena *arena, struct fm_err *err)
{
    return fm_jvm_find_in(out, pid, arena, NULL, err);
}

/* ---- all of them ---- */

struct pids {
    pid_t *list;
    size_t n, cap;
};

static bool add_pid(struct pids *pids, pid_t pid)
{
    if (pids->n == pids->cap) {
        size_t cap = pids->cap == 0 ? 64 : pids->cap * 2;
        pid_t *list = realloc(pids->list, cap * sizeof *list);
        if (list == NULL)
            return false;
        pids->list = list;
        pids->cap = cap;
    }
    pids->list[pids->n++] = pid;
    return true;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

/* Process ids named by the files of one hsperfdata folder, where such a process exists. */
static void pids_of_folder(struct pids *pids, int dir)
{
    DIR *list = fdopendir(dir);
    if (list == NULL) {
        (void)close(dir);
        return;
    }
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        pid_t pid = fm_proc_number(e->d_name);
        char path[32];
        (void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
        if (pid > 0 && access(path, F_OK) == 0)
            (void)add_pid(pids, pid);
    }
    (void)closedir(list);
}

static void pids_of_tmp(struct pids *pids, const char *tmp_dir)
{
    DIR *list = opendir(tmp_dir);
    if (list == NULL)
        return;
    unsigned seen = 0;
    for (struct dirent *e; seen < DIRS_MAX && (e = readdir(list)) != NULL;) {
        if (strncmp(e->d_name, "hsperfdata_", 11) != 0)
            continue;
        seen++;
        int dir = open_perf_dir(dirfd(list), e->d_name);
        if (dir >= 0)
            pids_of_folder(pids, dir);
    }
    (void)closedir(list);
}

/* JVMs of containers and those without hsperfdata: one small read per process. */
static void pids_of_proc(struct pids *pids)
{
    DIR *list = opendir("/proc");
    if (list == NULL)
        return;
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        pid_t pid = fm_proc_number(e->d_name);
        struct fm_proc proc;
        if (pid > 0 && pid != getpid() && fm_proc_read(&proc, pid, NULL) == FM_OK &&
            looks_like_java(&proc))
            (void)add_pid(pids, pid);
    }
    (void)closedir(list);
}

enum fm_code fm_jvms_find(struct fm_jvm **out, size_t *n, struct fm_arena *arena,
                          const char *tmp_dir, struct fm_err *err)
{
    *out = NULL;
    *n = 0;
    struct pids pids = {0};
    pids_of_tmp(&pids, tmp_dir != NULL ? tmp_dir : "/tmp");
    if (tmp_dir == NULL)
        pids_of_proc(&pids);
    FM_AUTO(fm_auto_free) pid_t *owned = pids.list;
    if (pids.n == 0)
        return FM_OK;
    qsort(pids.list, pids.n, sizeof *pids.list, compare_pids);
    struct fm_jvm *jvms = fm_arena_array(arena, pids.n, sizeof *jvms);
    if (jvms == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < pids.n; i++) {
        if (i > 0 && pids.list[i] == pids.list[i - 1])
            continue;
        enum fm_code code = fm_jvm_find_in(&jvms[*n], pids.list[i], arena, tmp_dir, err);
        if (code == FM_ENOMEM)
            return code;
        if (code == FM_OK)
            ++*n;
    }
    fm_err_clear(err);
    *out = jvms;
    return FM_OK;
}
