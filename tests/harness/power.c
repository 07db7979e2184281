#include "power.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault_vfs.h"

enum { SIDES = 2, SIDE_SIZE = 512 };

/* Written with fsync and rename by the spool itself: there as they were. */
static const char *const side_names[SIDES] = {"identity", "unsynced"};

struct op {
    struct fault_op what; /* path and data are copies */
    size_t synced_by; /* the next sync of this file; SIZE_MAX: none */
    char *sides[SIDES]; /* what those files held then; NULL: they were not there */
};

struct power {
    pthread_mutex_t lock;
    char dir[64];
    char db[80], kept[80]; /* where the database lies, and where it lies while it is not there */
    ino_t inode;
    struct op *ops;
    size_t n, cap;
};

static char *side_text(const struct power *p, const char *name)
{
    char path[128], text[SIDE_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    return n >= 0 ? strndup(text, (size_t)n) : NULL;
}

static void note(const struct fault_op *what, void *arg)
{
    struct power *p = arg;
    size_t dir = strlen(p->dir);
    if (strncmp(what->path, p->dir, dir) != 0 || what->path[dir] != '/')
        return;
    (void)pthread_mutex_lock(&p->lock);
    if (p->n == p->cap) {
        p->cap = p->cap > 0 ? 2 * p->cap : 256;
        p->ops = realloc(p->ops, p->cap * sizeof *p->ops);
        cr_assert_not_null(p->ops);
    }
    struct op *op = &p->ops[p->n++];
    *op = (struct op){.what = *what, .synced_by = SIZE_MAX};
    op->what.path = strdup(what->path);
    if (what->n > 0) {
        void *copy = malloc(what->n);
        cr_assert_not_null(copy);
        memcpy(copy, what->data, what->n);
        op->what.data = copy;
    }
    for (size_t i = 0; i < SIDES; i++)
        op->sides[i] = side_text(p, side_names[i]);
    bool sync = what->call == FAULT_SYNC || (what->call == FAULT_DELETE && what->synced);
    for (size_t i = p->n; sync && i > 0; i--) {
        struct op *before = &p->ops[i - 1];
        if (strcmp(before->what.path, what->path) == 0 && before->synced_by == SIZE_MAX)
            before->synced_by = p->n - 1;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

struct power *power_record(const char *dir)
{
    struct power *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)snprintf(p->dir, sizeof p->dir, "%s", dir);
    (void)snprintf(p->db, sizeof p->db, "%s/spool.db", dir);
    (void)snprintf(p->kept, sizeof p->kept, "%s.kept", dir);
    fault_watch(note, p);
    return p;
}

size_t power_count(struct power *p)
{
    (void)pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

void power_folder_synced(struct power *p)
{
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++)
        if (p->ops[i].what.call == FAULT_DELETE && p->ops[i].synced_by == SIZE_MAX)
            p->ops[i].synced_by = p->n;
    (void)pthread_mutex_unlock(&p->lock);
}

void power_stop(struct power *p)
{
    struct stat info;
    fault_watch(NULL, NULL);
    cr_assert_eq(stat(p->db, &info), 0);
    p->inode = info.st_ino;
}

static void put(const struct power *p, const struct fault_op *op, size_t n)
{
    if (op->call == FAULT_SYNC)
        return;
    if (op->call == FAULT_DELETE) {
        (void)unlink(op->path);
        return;
    }
    if (strcmp(op->path, p->db) == 0 && access(p->db, F_OK) != 0)
        cr_assert_eq(rename(p->kept, p->db), 0);
    int fd = open(op->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    if (op->call == FAULT_TRUNCATE)
        cr_assert_eq(ftruncate(fd, op->at), 0);
    else
        cr_assert_eq(pwrite(fd, op->data, n, op->at), (ssize_t)n);
    (void)close(fd);
}

static void put_side(const struct power *p, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
    (void)unlink(path);
    if (text == NULL)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* The spool may have set it aside as damaged. */
static void fetch_database(const struct power *p)
{
    char pattern[128];
    glob_t found = {0};
    struct stat info;
    (void)snprintf(pattern, sizeof pattern, "%s/*/spool.db", p->dir);
    (void)glob(pattern, 0, NULL, &found);
    for (size_t i = 0; i <= found.gl_pathc; i++) {
        const char *path = i < found.gl_pathc ? found.gl_pathv[i] : p->db;
        if (stat(path, &info) == 0 && info.st_ino == p->inode)
            cr_assert_eq(rename(path, p->kept), 0);
    }
    globfree(&found);
    cr_assert_eq(truncate(p->kept, 0), 0);
}

void power_cut(struct power *p, size_t n, enum power_kind kind, unsigned seed)
{
    unsigned random = seed * 2654435761u + 1;
    fetch_database(p);
    for (size_t i = 0; i < p->n; i++)
        (void)unlink(p->ops[i].what.path);
    char shm[128];
    (void)snprintf(shm, sizeof shm, "%s/spool.db-shm", p->dir);
    (void)unlink(shm); /* lies in memory only */
    const char *undeleted = NULL; /* what is written to its name from then on went elsewhere */
    for (size_t i = 0; i < n; i++) {
        const struct op *op = &p->ops[i];
        if (undeleted != NULL && strcmp(op->what.path, undeleted) == 0)
            continue;
        size_t len = op->what.n;
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        if (op->synced_by >= n) {
            if (kind == POWER_NOTHING || (kind == POWER_SOME && random % 2 == 0)) {
                undeleted = op->what.call == FAULT_DELETE ? op->what.path : undeleted;
                continue;
            }
            if (kind == POWER_TORN && i + 1 == n)
                len /= 2;
        }
        put(p, &op->what, len);
    }
    for (size_t i = 0; i < SIDES; i++)
        put_side(p, side_names[i], n > 0 ? p->ops[n - 1].sides[i] : NULL);
}

void power_free(struct power *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free((void *)(uintptr_t)p->ops[i].what.path);
        free((void *)(uintptr_t)p->ops[i].what.data);
        for (size_t k = 0; k < SIDES; k++)
            free(p->ops[i].sides[k]);
    }
    free(p->ops);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
