#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "config/build_priv.h"

struct fm_secret {
    struct fm_secret *next;
    char *file; /* NULL: written in the configuration */
    pthread_mutex_t lock; /* leaf; protects what follows, and is held while the file is read */
    char *value; /* NULL: never readable so far */
    size_t len;
    struct stat seen; /* of the file when value was read */
};

static void wipe_free(char *data, size_t len)
{
    if (data != NULL)
        explicit_bzero(data, len);
    free(data);
}

void fm_secret_wipe(struct fm_buf *buf)
{
    if (buf->data != NULL)
        explicit_bzero(buf->data, buf->cap);
    fm_buf_clear(buf);
}

const char *fm_secret_file(const struct fm_secret *secret)
{
    return secret == NULL ? NULL : secret->file;
}

/* ---- the file ---- */

/* systemd shows its credentials to a service through an access list, which looks like a group. */
static bool is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    size_t len = folder == NULL ? 0 : strlen(folder);
    return len > 1 && strncmp(path, folder, len) == 0 && path[len] == '/';
}

static enum fm_code check_folder(const char *path, struct fm_err *err)
{
    const char *slash = strrchr(path, '/');
    FM_AUTO(fm_auto_free)
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    struct stat st;
    if (folder == NULL)
        return fm_err_nomem(err);
    if (stat(folder, &st) == 0 && (st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
        return fm_err_set(err, FM_ECONF,
                          "anybody can replace %s: its folder is writable by all; chmod o-w %s",
                          path, folder);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): FM_AUTO frees it, unseen by LLVM 14 */
    return FM_OK;
}

static enum fm_code check_file(const char *path, const struct stat *st, struct fm_err *err)
{
    mode_t closed = is_credential(path) ? S_IRWXO | S_IWGRP : S_IRWXG | S_IRWXO;
    if (!S_ISREG(st->st_mode))
        return fm_err_set(err, FM_ECONF, "%s is not a regular file", path);
    if ((st->st_mode & closed) != 0)
        return fm_err_set(err, FM_ECONF, "others can read the secret in %s; chmod 600 %s", path,
                          path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return fm_err_set(err, FM_ECONF,
                          "%s belongs to user id %u, not to the user that runs this; chown it",
                          path, (unsigned)st->st_uid);
    if (st->st_size > FM_SECRET_MAX)
        return fm_err_set(err, FM_ECONF, "%s is larger than 64 KiB", path);
    return check_folder(path, err);
}

static enum fm_code check_text(const char *path, const char *text, size_t len, struct fm_err *err)
{
    if (len == 0)
        return fm_err_set(err, FM_ECONF, "%s is empty", path);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return fm_err_set(
                err, FM_ECONF,
                "%s holds a line break or another control character within the secret", path);
    return FM_OK;
}

static size_t without_newline(const char *text, size_t len)
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    return len;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) == 0 &&
           memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim) == 0;
}

/* Under the lock. The old value stays unless all is well. */
static enum fm_code read_file(struct fm_secret *secret, struct fm_err *err)
{
    const char *path = secret->file;
    FM_AUTO(fm_auto_close)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 && errno == ELOOP)
        return fm_err_set(err, FM_ECONF, "%s is a symbolic link; name the file itself", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return fm_err_set(err, FM_ECONF, "cannot open the secret in %s: %s", path,
                          strerrordesc_np(errno));
    if (secret->value != NULL && same_file(&st, &secret->seen))
        return FM_OK;
    FM_TRY(check_file(path, &st, err));
    char *data = malloc(FM_SECRET_MAX + 1);
    if (data == NULL)
        return fm_err_nomem(err);
    size_t len = 0;
    ssize_t n = 0;
    while (len < FM_SECRET_MAX && (n = read(fd, data + len, FM_SECRET_MAX - len)) > 0)
        len += (size_t)n;
    len = without_newline(data, len);
    enum fm_code code =
        n < 0 ? fm_err_set(err, FM_ECONF, "cannot read %s: %s", path, strerrordesc_np(errno))
              : check_text(path, data, len, err);
    if (code != FM_OK) {
        wipe_free(data, FM_SECRET_MAX);
        return code;
    }
    char *value = malloc(len + 1);
    if (value != NULL) {
        memcpy(value, data, len);
        value[len] = '\0';
    }
    wipe_free(data, FM_SECRET_MAX);
    if (value == NULL)
        return fm_err_nomem(err);
    wipe_free(secret->value, secret->len);
    secret->value = value;
    secret->len = len;
    secret->seen = st;
    return FM_OK;
}

enum fm_code fm_secret_get(struct fm_secret *secret, struct fm_buf *out, struct fm_err *err)
{
    fm_err_clear(err);
    fm_buf_reset(out);
    if (secret == NULL)
        return FM_OK;
    pthread_mutex_lock(&secret->lock);
    enum fm_code code = secret->file == NULL ? FM_OK : read_file(secret, err);
    if (secret->value != NULL) {
        code = FM_OK;
        fm_buf_put(out, secret->value, secret->len);
    }
    pthread_mutex_unlock(&secret->lock);
    return code != FM_OK ? code : fm_buf_code(out, err);
}

/* ---- life ---- */

enum fm_code fm_secret_new(struct fm_secret **list, struct fm_secret **out, const char *text,
                           const char *file, struct fm_err *err)
{
    struct fm_secret *secret = calloc(1, sizeof *secret);
    if (secret == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&secret->lock, NULL);
    secret->next = *list;
    *list = secret; /* freed with the list from here on */
    if (text != NULL) {
        secret->value = strdup(text);
        secret->len = strlen(text);
    } else {
        secret->file = strdup(file);
    }
    if (secret->value == NULL && secret->file == NULL)
        return fm_err_nomem(err);
    if (file != NULL)
        FM_TRY(read_file(secret, err));
    *out = secret;
    return FM_OK;
}

void fm_secrets_free(struct fm_secret *list)
{
    while (list != NULL) {
        struct fm_secret *next = list->next;
        wipe_free(list->value, list->len);
        free(list->file);
        (void)pthread_mutex_destroy(&list->lock);
        free(list);
        list = next;
    }
}

bool fm_secret_same(struct fm_secret *a, struct fm_secret *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->file != NULL || b->file != NULL)
        return a->file != NULL && b->file != NULL && strcmp(a->file, b->file) == 0;
    return a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

enum fm_code fm_secret_read_file(const char *path, struct fm_buf *out, struct fm_err *err)
{
    struct fm_secret *list = NULL, *secret = NULL;
    enum fm_code code = fm_secret_new(&list, &secret, NULL, path, err);
    if (code == FM_OK)
        code = fm_secret_get(secret, out, err);
    fm_secrets_free(list);
    return code;
}
