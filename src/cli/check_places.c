/* The files and folders of a check: certificates and keys that are named, the place of the spool
 * and the room it has. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/check_priv.h"
#include "spool/spool.h"

/* ---- files ---- */

/* What must stand in a file for it to be of use. */
enum kind { CERTIFICATES, KEY, TEXT };

static size_t count(const char *text, size_t len, const char *what)
{
    size_t n = 0, size = strlen(what);
    for (const char *at = text; (at = memmem(at, len - (size_t)(at - text), what, size)) != NULL;
         at += size)
        n++;
    return n;
}

/* Holds the file what its key wants? Only looks for the lines that begin a PEM block: whether they
 * can be used says the connection. */
static enum fm_verdict look_into(const char *path, enum kind kind, char *detail, size_t size)
{
    enum { MOST = 1 << 20 };
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int sys = errno;
        (void)snprintf(detail, size, "cannot be read: %s%s", strerrordesc_np(sys),
                       sys == EACCES ? "; run as the agent's user, or let that user read it"
                                     : "; correct the path, or put the file there");
        return FAIL;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)snprintf(detail, size, "is not a regular file; name one");
        return FAIL;
    }
    FM_AUTO(fm_auto_free) char *text = malloc(MOST);
    if (text == NULL) {
        (void)snprintf(detail, size, "cannot be read: no memory");
        return FAIL;
    }
    ssize_t n = read(fd, text, MOST);
    size_t len = n > 0 ? (size_t)n : 0;
    size_t certificates = count(text, len, "-----BEGIN CERTIFICATE-----") +
                          count(text, len, "-----BEGIN TRUSTED CERTIFICATE-----");
    if (kind == CERTIFICATES && certificates == 0) {
        (void)snprintf(detail, size, "holds no certificate in PEM form (-----BEGIN CERTIFICATE)");
        return FAIL;
    }
    if (kind == KEY && count(text, len, "PRIVATE KEY-----") == 0) {
        (void)snprintf(detail, size,
                       "holds no private key in PEM form (-----BEGIN ...PRIVATE KEY)");
        return FAIL;
    }
    if (kind == KEY && (st.st_mode & S_IROTH) != 0) {
        (void)snprintf(detail, size, "everybody can read this private key; chmod 600 it");
        return WARN;
    }
    if (kind == CERTIFICATES)
        (void)snprintf(detail, size, "certificates: %zu", certificates);
    else
        (void)snprintf(detail, size, len > 0 ? "there" : "is empty");
    return len > 0 ? OK : FAIL;
}

/* A file that a key names. */
static void check_file(struct fm_check_run *w, const struct fm_section *section, const char *key,
                       const char *path, enum kind kind)
{
    char step[120], detail[300];
    if (path == NULL)
        return;
    enum fm_verdict verdict = look_into(path, kind, detail, sizeof detail);
    (void)snprintf(step, sizeof step, "[%s%s%s] %s", section->kind,
                   section->name[0] != '\0' ? ":" : "", section->name, key);
    fm_check_run_add(w, "file", path, step, verdict, detail);
}

/* Of many targets with one file the first alone is named. */
static const char *fresh(const char *path, const char *before)
{
    return path != NULL && before != NULL && strcmp(path, before) == 0 ? NULL : path;
}

static void check_files(struct fm_check_run *w)
{
    static const struct fm_cfg_target none = {.ca_file = NULL};
    const struct fm_config *config = w->config;
    const struct fm_cfg_rest *rest = &config->rest;
    const struct fm_cfg_http *http = &config->http;
    check_file(w, &rest->section, "ca_file", rest->ca_file, CERTIFICATES);
    check_file(w, &rest->section, "cert_file", rest->cert_file, CERTIFICATES);
    check_file(w, &rest->section, "key_file", rest->key_file, KEY);
    check_file(w, &rest->section, "http_proxy_ca_file", rest->http_proxy_ca_file, CERTIFICATES);
    check_file(w, &rest->section, "schema_file", rest->schema_file, TEXT);
    check_file(w, &http->section, "cert_file", http->cert_file, CERTIFICATES);
    check_file(w, &http->section, "key_file", http->key_file, KEY);
    for (size_t i = 0; i < config->n_targets; i++) {
        const struct fm_cfg_target *t = &config->targets[i];
        const struct fm_cfg_target *before = i > 0 ? &config->targets[i - 1] : &none;
        check_file(w, &t->section, "ca_file", fresh(t->ca_file, before->ca_file), CERTIFICATES);
        check_file(w, &t->section, "cert_file", fresh(t->cert_file, before->cert_file),
                   CERTIFICATES);
        check_file(w, &t->section, "key_file", fresh(t->key_file, before->key_file), KEY);
    }
}

/* ---- folders ---- */

/* The path itself, or the nearest folder above it that is there. */
static void nearest_there(const char *path, char *at, size_t size)
{
    struct stat st;
    (void)snprintf(at, size, "%s", path);
    while (stat(at, &st) != 0 && errno == ENOENT) {
        char *slash = strrchr(at, '/');
        if (slash == NULL)
            (void)snprintf(at, size, ".");
        else if (slash == at)
            at[1] = '\0';
        else
            *slash = '\0';
    }
}

/* Whether a folder that is not there could be made: looks at the nearest one that is.
 * @param why  of a refusal */
static bool can_be_made(const char *path, char *why, size_t size)
{
    char at[4096];
    struct stat st;
    struct statfs fs;
    nearest_there(path, at, sizeof at);
    int sys = 0;
    if (stat(at, &st) != 0)
        sys = errno;
    else if (!S_ISDIR(st.st_mode))
        sys = ENOTDIR;
    else if (access(at, W_OK | X_OK) != 0)
        sys = errno;
    else if (statfs(at, &fs) == 0 &&
             (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)) /* whatever its mode */
        sys = EROFS;
    if (sys != 0)
        (void)snprintf(why, size,
                       "cannot be made in %.200s: %s; run as a user who may write there, or set "
                       "[agent] state_dir or [spool] path",
                       at, strerrordesc_np(sys));
    return sys == 0;
}

/* Why access() refused a folder to write in. @param key  that may name another one */
static const char *no_write(int sys, const char *key, char *why, size_t size)
{
    if (sys == EROFS)
        (void)snprintf(why, size,
                       "lies on a read-only file system; mount it writable, or set %s to a folder "
                       "elsewhere",
                       key);
    else
        (void)snprintf(why, size,
                       "this user may not write there; run as the agent's user, or set %s", key);
    return why;
}

static void check_state_dir(struct fm_check_run *w)
{
    const char *path = w->config->agent.state_dir;
    char why[400];
    struct stat st;
    if (stat(path, &st) != 0) {
        if (!can_be_made(path, why, sizeof why))
            fm_check_run_add(w, "agent", path, "state_dir", FAIL, why);
    } else if (!S_ISDIR(st.st_mode)) {
        fm_check_run_add(w, "agent", path, "state_dir", FAIL,
                         "is not a folder; set [agent] state_dir to one");
    } else if (access(path, W_OK | X_OK) != 0) {
        fm_check_run_add(w, "agent", path, "state_dir", WARN,
                         no_write(errno, "[agent] state_dir", why, sizeof why));
    }
}

/* What the files of a folder take now. */
static uint64_t bytes_in(const char *path)
{
    uint64_t bytes = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    struct stat st;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_blocks * 512;
    if (dir != NULL)
        (void)closedir(dir);
    return bytes;
}

/* As the spool judges it: the reserve is not there, and there is no room for it. */
static bool is_full_now(const char *path, uint64_t reserve, uint64_t left)
{
    char file[4096];
    struct stat st;
    int n = snprintf(file, sizeof file, "%s/reserve", path);
    return left < reserve && n > 0 && (size_t)n < sizeof file && stat(file, &st) != 0 &&
           errno == ENOENT;
}

/* A disk that is full before the spool is: then its policy comes too late. */
static void check_room(struct fm_check_run *w, const char *path)
{
    const struct fm_cfg_spool *spool = &w->config->spool;
    char at[4096], detail[400], room[24], size[24];
    struct statvfs fs;
    nearest_there(path, at, sizeof at);
    if (statvfs(at, &fs) != 0)
        return;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize, has = left + bytes_in(path);
    if (is_full_now(path, spool->reserve_bytes, left)) {
        fm_text_size(room, sizeof room, left);
        fm_text_size(size, sizeof size, spool->reserve_bytes);
        (void)snprintf(detail, sizeof detail,
                       "the disk is full now: %s are free, and the reserve alone needs %s; make "
                       "room, or set [spool] reserve and max_size lower",
                       room, size);
        fm_check_run_add(w, "spool", path, "room", WARN, detail);
        return;
    }
    if (has >= spool->max_size_bytes)
        return;
    fm_text_size(room, sizeof room, has);
    fm_text_size(size, sizeof size, spool->max_size_bytes);
    (void)snprintf(detail, sizeof detail,
                   "the disk has %s for it, but max_size is %s: the disk would be full before the "
                   "spool is; make room, or set [spool] max_size lower",
                   room, size);
    fm_check_run_add(w, "spool", path, "room", WARN, detail);
}

static void check_spool(struct fm_check_run *w)
{
    struct fm_err err = {0};
    char holder[256] = "";
    char detail[400];
    int pid = 0;
    const char *state = w->config->agent.state_dir;
    if (w->config->spool.memory || strncmp(w->config->spool.path, state, strlen(state)) != 0)
        check_state_dir(w); /* else the spool's place says it */
    if (w->config->spool.memory) {
        fm_check_run_add(
            w, "spool", "memory", "place", WARN,
            "records wait in memory only; what is not sent is lost when the agent ends");
        return;
    }
    const char *path = w->config->spool.path;
    unsigned failures = w->failures;
    enum fm_code code = fm_spool_holder(path, holder, sizeof holder, &pid, &err);
    if (code == FM_ELOCKED) {
        (void)snprintf(detail, sizeof detail, "in use by process %d", pid);
        fm_check_run_add(w, "spool", path, "place", OK, detail);
    } else if (code == FM_OK) {
        bool writable = access(path, R_OK | W_OK | X_OK) == 0;
        fm_check_run_add(w, "spool", path, "place", writable ? OK : FAIL,
                         writable ? "there, nobody holds it"
                                  : no_write(errno, "[spool] path", detail, sizeof detail));
    } else if (code == FM_ENOTFOUND) {
        bool possible = can_be_made(path, detail, sizeof detail);
        fm_check_run_add(w, "spool", path, "place", possible ? OK : FAIL,
                         possible ? "will be created at the first run" : detail);
    } else {
        fm_cmd_advise(&err);
        fm_check_run_add(w, "spool", path, "place", FAIL, fm_err_text(&err));
    }
    if (w->failures == failures)
        check_room(w, path);
}

void fm_check_run_places(struct fm_check_run *w)
{
    check_files(w);
    check_spool(w);
}
