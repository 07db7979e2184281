#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

enum { READ_BYTES = 64 * 1024 };

static bool is_stdin(const char *file)
{
    return strcmp(file, "-") == 0;
}

const char *fm_lines_name(const struct fm_lines *lines, size_t file)
{
    return is_stdin(lines->files[file]) ? "stdin" : lines->files[file];
}

static enum fm_code open_file(const char *file, int *fd, struct fm_err *err)
{
    *fd = is_stdin(file) ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return fm_err_sys(err, errno, "cannot read %.200s", is_stdin(file) ? "stdin" : file);
    return FM_OK;
}

/* Lines of a packed file would be rubbish, which no proxy refuses where they go as text. */
static enum fm_code look_into(int fd, const char *file, struct fm_err *err)
{
    static const struct {
        const char *mark, *name, *tool;
    } packed[] = {{"\x1f\x8b\x08", "gzip", "zcat"},
                  {"\x28\xb5\x2f\xfd", "zstd", "zstdcat"},
                  {"\xfd\x37zXZ", "xz", "xzcat"}};
    char head[8] = "";
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || pread(fd, head, sizeof head - 1, at) <= 0)
        return FM_OK;
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++)
        if (strncmp(head, packed[i].mark, strlen(packed[i].mark)) == 0)
            return fm_err_set(
                err, FM_EUSAGE,
                "%.160s is compressed (%s); unpack it on the way: %s FILE | firstmile "
                "produce TOPIC",
                is_stdin(file) ? "stdin" : file, packed[i].name, packed[i].tool);
    return FM_OK;
}

/* Every file is looked at before the first line is sent. */
static enum fm_code look_at(struct fm_lines *lines, struct fm_err *err)
{
    bool known = true;
    for (size_t i = 0; i < lines->n_files; i++) {
        int fd;
        struct stat st;
        FM_TRY(open_file(lines->files[i], &fd, err));
        bool got = fstat(fd, &st) == 0;
        enum fm_code code =
            got && S_ISREG(st.st_mode) ? look_into(fd, lines->files[i], err) : FM_OK;
        (void)close(fd);
        if (got && S_ISDIR(st.st_mode))
            return fm_err_set(err, FM_ESYS, "%.200s is a folder", lines->files[i]);
        FM_TRY(code);
        known = known && got && S_ISREG(st.st_mode);
        lines->bytes_total += known ? (uint64_t)st.st_size : 0;
    }
    if (!known)
        lines->bytes_total = 0;
    return FM_OK;
}

enum fm_code fm_lines_open(struct fm_lines *lines, const char *const *files, size_t n, size_t max,
                           struct fm_err *err)
{
    *lines = (struct fm_lines){.files = files, .n_files = n, .max = max, .fd = -1};
    FM_TRY(look_at(lines, err));
    lines->cap = max + 1 + READ_BYTES;
    lines->data = malloc(lines->cap);
    return lines->data != NULL ? FM_OK : fm_err_nomem(err);
}

void fm_lines_close(struct fm_lines *lines)
{
    if (lines->fd >= 0)
        (void)close(lines->fd);
    lines->fd = -1;
    free(lines->data);
    lines->data = NULL;
}

static void give(struct fm_lines *lines, struct fm_line *out, size_t len, size_t used)
{
    lines->number++;
    *out =
        (struct fm_line){.what = lines->skipping || len > lines->max ? FM_LINE_LONG : FM_LINE_GOOD,
                         .file = lines->file,
                         .number = lines->number,
                         .text = lines->data + lines->start,
                         .len = len};
    lines->skipping = false;
    lines->start += used;
    lines->len -= used;
}

/* A line from what was read already. */
static bool take(struct fm_lines *lines, struct fm_line *out)
{
    const char *from = lines->data + lines->start;
    const char *end = lines->len > 0 ? memchr(from, '\n', lines->len) : NULL;
    if (end != NULL) {
        give(lines, out, (size_t)(end - from), (size_t)(end - from) + 1);
        return true;
    }
    if (lines->ended && (lines->len > 0 || lines->skipping)) {
        give(lines, out, lines->len, lines->len);
        return true;
    }
    if (lines->len > lines->max) { /* the rest of it is not kept */
        lines->skipping = true;
        lines->len = 0;
    }
    return false;
}

static enum fm_code fill(struct fm_lines *lines, int timeout_ms, bool *waited, struct fm_err *err)
{
    struct pollfd p = {.fd = lines->fd, .events = POLLIN};
    int ready = poll(&p, 1, timeout_ms);
    *waited = ready <= 0;
    if (ready <= 0)
        return FM_OK;
    if (lines->start > 0)
        memmove(lines->data, lines->data + lines->start, lines->len);
    lines->start = 0;
    ssize_t n = read(lines->fd, lines->data + lines->len, READ_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        *waited = true;
        return FM_OK;
    }
    if (n < 0)
        return fm_err_sys(err, errno, "cannot read %.200s", fm_lines_name(lines, lines->file));
    lines->ended = n == 0;
    lines->read_ms = fm_wall_ms();
    lines->len += (size_t)n;
    lines->bytes_read += (uint64_t)n;
    return FM_OK;
}

static void next_file(struct fm_lines *lines)
{
    (void)close(lines->fd);
    lines->fd = -1;
    lines->file++;
    lines->number = 0;
    lines->ended = false;
}

enum fm_code fm_lines_next(struct fm_lines *lines, int timeout_ms, struct fm_line *out,
                           struct fm_err *err)
{
    for (;;) {
        if (lines->file == lines->n_files) {
            *out = (struct fm_line){.what = FM_LINE_END};
            return FM_OK;
        }
        if (lines->fd < 0)
            FM_TRY(open_file(lines->files[lines->file], &lines->fd, err));
        if (take(lines, out))
            return FM_OK;
        if (lines->ended) {
            next_file(lines);
            continue;
        }
        bool waited;
        FM_TRY(fill(lines, timeout_ms, &waited, err));
        if (waited) {
            *out = (struct fm_line){.what = FM_LINE_NONE};
            return FM_OK;
        }
    }
}
