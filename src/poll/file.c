/* Reading a targets_file: JSON of Prometheus' file based discovery, an array of groups
 * {"targets": ["host:port", ...], "labels": {"name": "value"}}. What it says was written by others:
 * everything is bounded and checked, and every fault is told with its place. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/hash.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

enum {
    MAX_FILES = 256, /* that a pattern takes */
    MAX_FILE_BYTES = 4 * 1024 * 1024,
    MAX_VALUES = 300000, /* of a file: each takes many times its text while it is read */
    MAX_TARGETS = 10000, /* of a section */
    MAX_URL = 1024,
    MAX_LABELS = 64,
    MAX_LABEL = 1024,
    MAX_FAULTS = 3, /* of a file that are told */
    SETTLE_S = 2 /* a file younger than this may change again without its times telling */
};

/* ---- whether something changed ---- */

static void mix(uint64_t *mark, const void *data, size_t len)
{
    *mark = fm_hash_wide(*mark, data, len);
}

/* The ctime tells what an mtime that was set back would hide. */
static void mix_file(uint64_t *mark, const char *path, bool *settled)
{
    struct stat st = {0};
    int sys = stat(path, &st) == 0 ? 0 : errno;
    const int64_t facts[] = {sys,
                             (int64_t)st.st_dev,
                             (int64_t)st.st_ino,
                             (int64_t)st.st_size,
                             (int64_t)st.st_mtim.tv_sec,
                             (int64_t)st.st_mtim.tv_nsec,
                             (int64_t)st.st_ctim.tv_sec,
                             (int64_t)st.st_ctim.tv_nsec};
    mix(mark, path, strlen(path) + 1);
    mix(mark, facts, sizeof facts);
    if (sys == 0 && time(NULL) - st.st_ctim.tv_sec < SETTLE_S)
        *settled = false;
}

/* ---- one file ---- */

static enum fm_code read_whole(struct fm_buf *out, const char *path, struct fm_err *err)
{
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return fm_err_sys(err, errno, "cannot read %.150s", path);
    if (!S_ISREG(st.st_mode))
        return fm_err_set(err, FM_ECONF, "%.150s is not a file", path);
    char part[16384];
    for (ssize_t n; (n = read(fd, part, sizeof part)) != 0;) {
        if (n < 0)
            return fm_err_sys(err, errno, "cannot read %.150s", path);
        fm_buf_put(out, part, (size_t)n);
        if (out->failed)
            return out->over_limit ? fm_err_set(err, FM_ELIMIT, "%.150s is larger than %d MiB",
                                                path, MAX_FILE_BYTES >> 20)
                                   : fm_err_nomem(err);
    }
    return FM_OK;
}

/* A file being taken apart. */
struct reading {
    struct fm_file *file;
    struct fm_arena *arena;
    size_t *n_all; /* targets of the section so far */
    size_t cap;
    size_t group;
    const struct fm_sample_tag *labels; /* of the group */
    size_t n_labels;
    size_t n_faults;
};

enum fm_code fm_file_no_room(const struct fm_arena *arena, struct fm_err *err)
{
    if (!arena->over_limit)
        return fm_err_nomem(err);
    return fm_err_set(err, FM_ELIMIT, "the files of a section take more than %d MiB of memory",
                      FM_FILES_BYTES >> 20);
}

static enum fm_code copy(const char **out, struct fm_arena *arena, const char *text,
                         struct fm_err *err)
{
    *out = fm_arena_strndup(arena, text, strlen(text));
    return *out != NULL ? FM_OK : fm_file_no_room(arena, err);
}

/* The first faults of a file are kept, so that they can be mended in one go.
 * @return FM_OK but for a failed allocation */
static enum fm_code fault(struct reading *r, const struct fm_err *why, struct fm_err *err)
{
    char both[MAX_FAULTS * sizeof why->text];
    if (why->code == FM_ENOMEM) {
        *err = *why;
        return FM_ENOMEM;
    }
    if (r->n_faults++ >= MAX_FAULTS)
        return FM_OK;
    if (r->file->fault == NULL)
        return copy(&r->file->fault, r->arena, why->text, err);
    (void)snprintf(both, sizeof both, "%s; %s", r->file->fault, why->text);
    return copy(&r->file->fault, r->arena, both, err);
}

static enum fm_code check_url(const char *url, struct fm_err *err)
{
    enum fm_target_kind kind;
    pid_t pid = 0;
    const char *glob = NULL;
    size_t len = strlen(url);
    /* First, wherever it stands: what follows quotes the text, in the log and in /health. */
    if (memchr(url, '@', len) != NULL)
        return fm_err_set(err, FM_ECONF,
                          "a target may not hold a user or a password (nor another @; %%40 stands "
                          "for one in a path); the section has keys for them");
    if (len > MAX_URL)
        return fm_err_set(err, FM_ECONF, "longer than %d bytes", MAX_URL);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f)
            return fm_err_set(err, FM_ECONF, "\"%.60s\" holds a blank or a control character", url);
    FM_TRY(fm_target_parse(url, &kind, &pid, &glob, err));
    if (kind != FM_TARGET_NET)
        return fm_err_set(err, FM_ECONF,
                          "\"%.60s\" stands for JVMs of this host: give it a section of its own",
                          url);
    char place[8];
    fm_target_place(url, place, sizeof place);
    if (place[0] == '\0')
        return fm_err_set(err, FM_ECONF, "\"%.60s\" names no host", url);
    return FM_OK;
}

static enum fm_code take_target(struct reading *r, const json_t *item, struct fm_err *err)
{
    const char *url = json_string_value(item);
    struct fm_file *file = r->file;
    if (url == NULL)
        return fm_err_set(err, FM_ECONF, "not a text");
    FM_TRY(check_url(url, err));
    if (*r->n_all >= MAX_TARGETS)
        return fm_err_set(err, FM_ELIMIT, "more than %d targets in a section", MAX_TARGETS);
    if (file->n == r->cap) {
        size_t cap = r->cap == 0 ? 64 : r->cap * 2;
        struct fm_file_entry *more = fm_arena_array(r->arena, cap, sizeof *more);
        if (more == NULL)
            return fm_file_no_room(r->arena, err);
        if (file->n > 0)
            memcpy(more, file->entries, file->n * sizeof *more);
        file->entries = more;
        r->cap = cap;
    }
    char part[256];
    fm_target_place(url, part, sizeof part);
    struct fm_file_entry *entry = &file->entries[file->n];
    *entry = (struct fm_file_entry){.labels = r->labels, .n_labels = r->n_labels};
    FM_TRY(copy(&entry->url, r->arena, url, err));
    FM_TRY(copy(&entry->part, r->arena, part, err));
    file->n++;
    (*r->n_all)++;
    return FM_OK;
}

/* Names that begin with __ are Prometheus' own business. */
static enum fm_code take_labels(struct reading *r, const json_t *labels, struct fm_err *err)
{
    r->labels = NULL;
    r->n_labels = 0;
    if (labels == NULL)
        return FM_OK;
    if (!json_is_object(labels))
        return fm_err_set(err, FM_ECONF, "labels is not an object");
    size_t n = json_object_size(labels);
    if (n == 0)
        return FM_OK;
    struct fm_sample_tag *list =
        fm_arena_array(r->arena, n < MAX_LABELS ? n : MAX_LABELS, sizeof *list);
    if (list == NULL)
        return fm_file_no_room(r->arena, err);
    r->labels = list;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach ((json_t *)(uintptr_t)labels, name, value) {
        const char *text = json_string_value(value);
        if (strncmp(name, "__", 2) == 0)
            continue;
        if (text == NULL || name[0] == '\0')
            return fm_err_set(err, FM_ECONF, "label \"%.60s\" is not a text", name);
        if (strlen(text) > MAX_LABEL || strlen(name) > MAX_LABEL)
            return fm_err_set(err, FM_ECONF, "label \"%.60s\" is longer than %d bytes", name,
                              MAX_LABEL);
        if (r->n_labels == MAX_LABELS)
            return fm_err_set(err, FM_ELIMIT, "more than %d labels", MAX_LABELS);
        struct fm_sample_tag *label = &list[r->n_labels];
        FM_TRY(copy(&label->name, r->arena, name, err));
        FM_TRY(copy(&label->value, r->arena, text, err));
        r->n_labels++;
    }
    return FM_OK;
}

static enum fm_code check_group(const json_t *group, struct fm_err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    if (!json_is_object(group))
        return fm_err_set(err, FM_ECONF, "not an object with targets and labels");
    json_object_foreach ((json_t *)(uintptr_t)group, name, value) {
        if (strcmp(name, "targets") != 0 && strcmp(name, "labels") != 0)
            return fm_err_set(err, FM_ECONF,
                              "there is no \"%.60s\" in a group, only targets and labels", name);
    }
    if (!json_is_array(json_object_get(group, "targets")))
        return fm_err_set(err, FM_ECONF, "targets is not an array");
    return FM_OK;
}

static enum fm_code look_at_target(const json_t *item, struct fm_err *err)
{
    const char *url = json_string_value(item);
    return url != NULL ? check_url(url, err) : fm_err_set(err, FM_ECONF, "not a text");
}

/* A group with a fault is left out whole, of a group without the targets with a fault; its targets
 * are looked at all the same, so that all faults are told. */
static enum fm_code take_group(struct reading *r, const json_t *group, struct fm_err *err)
{
    struct fm_err why = {0};
    enum fm_code code = check_group(group, &why);
    bool shaped = code == FM_OK;
    if (shaped)
        code = take_labels(r, json_object_get(group, "labels"), &why);
    bool taken = code == FM_OK;
    if (!taken) {
        (void)fm_err_context(&why, "%.120s: group %zu", r->file->path, r->group);
        FM_TRY(fault(r, &why, err));
    }
    const json_t *targets = shaped ? json_object_get(group, "targets") : NULL;
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const json_t *item = json_array_get(targets, i);
        code = taken ? take_target(r, item, &why) : look_at_target(item, &why);
        if (code == FM_OK)
            continue;
        (void)fm_err_context(&why, "%.120s: group %zu, target %zu", r->file->path, r->group, i + 1);
        FM_TRY(fault(r, &why, err));
        if (code == FM_ELIMIT)
            break;
    }
    return FM_OK;
}

/* At most so many values can be in a text: more are not read, for a value without text costs most.
 */
static size_t values_in(const char *text, size_t len)
{
    size_t n = 1;
    for (size_t i = 0; i < len; i++)
        n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return n;
}

static enum fm_code take_json(struct reading *r, const char *text, size_t len, struct fm_err *err)
{
    json_error_t at;
    struct fm_err why = {0};
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    enum fm_code code = FM_OK;
    if (root == NULL) {
        char *near = strstr(at.text, " near '"); /* it quotes the file, perhaps a password */
        if (near != NULL)
            *near = '\0';
        (void)fm_err_set(&why, FM_ECONF, "%.120s:%d:%d: no JSON: %.80s", r->file->path, at.line,
                         at.column, at.text);
    } else if (!json_is_array(root))
        (void)fm_err_set(&why, FM_ECONF, "%.120s: not an array of groups", r->file->path);
    if (why.code != FM_OK)
        code = fault(r, &why, err);
    for (size_t i = 0; code == FM_OK && why.code == FM_OK && i < json_array_size(root); i++) {
        r->group = i + 1;
        code = take_group(r, json_array_get(root, i), err);
    }
    json_decref(root);
    return code;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): what reads counts in it */
enum fm_code fm_file_parse(struct fm_file *file, size_t *n_all, const char *text, size_t len,
                           struct fm_arena *arena, struct fm_err *err)
{
    struct reading r = {.file = file, .arena = arena, .n_all = n_all};
    struct fm_err why = {0};
    if (values_in(text, len) > MAX_VALUES) {
        (void)fm_err_set(&why, FM_ELIMIT, "%.120s: more than %d values (commas and brackets)",
                         file->path, MAX_VALUES);
        return fault(&r, &why, err);
    }
    return take_json(&r, text, len, err);
}

static enum fm_code read_file(struct fm_file *file, size_t *n_all, struct fm_arena *arena,
                              struct fm_err *err)
{
    struct fm_err why = {0};
    struct fm_buf text;
    fm_buf_init(&text, MAX_FILE_BYTES);
    enum fm_code code = read_whole(&text, file->path, &why);
    if (code == FM_OK)
        code = fm_file_parse(file, n_all, text.data != NULL ? text.data : "", text.len, arena, err);
    else
        code = code == FM_ENOMEM ? fm_err_nomem(err) : copy(&file->fault, arena, why.text, err);
    fm_buf_clear(&text);
    return code;
}

/* ---- all files of a section ---- */

bool fm_file_is_pattern(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

static enum fm_code list_files(struct fm_file_list *out, const char *pattern, glob_t *found,
                               struct fm_err *err)
{
    const char *const *paths = &pattern;
    out->n = 1;
    if (fm_file_is_pattern(pattern)) {
        int rc = glob(pattern, 0, NULL, found);
        if (rc == GLOB_NOSPACE)
            return fm_err_nomem(err);
        if (rc != 0 || found->gl_pathc == 0)
            return fm_err_set(err, FM_ENOTFOUND, "no file matches %.150s", pattern);
        if (found->gl_pathc > MAX_FILES)
            return fm_err_set(err, FM_ELIMIT, "more than %d files match %.150s", MAX_FILES,
                              pattern);
        paths = (const char *const *)(uintptr_t)found->gl_pathv;
        out->n = found->gl_pathc;
    }
    out->files = fm_arena_array(&out->arena, out->n, sizeof *out->files);
    if (out->files == NULL)
        return fm_file_no_room(&out->arena, err);
    for (size_t i = 0; i < out->n; i++)
        FM_TRY(copy(&out->files[i].path, &out->arena, paths[i], err));
    return FM_OK;
}

enum fm_code fm_files_read(struct fm_file_list *out, const char *pattern, uint64_t mark,
                           bool *changed, struct fm_err *err)
{
    glob_t found = {0};
    bool settled = true;
    size_t n_all = 0;
    *changed = true;
    out->n = 0;
    out->mark = 0;
    enum fm_code code = list_files(out, pattern, &found, err);
    uint64_t now = FM_HASH_START;
    for (size_t i = 0; code == FM_OK && i < out->n; i++)
        mix_file(&now, out->files[i].path, &settled);
    if (code == FM_OK && now == mark) {
        *changed = false;
        out->n = 0;
    }
    for (size_t i = 0; code == FM_OK && i < out->n; i++)
        code = read_file(&out->files[i], &n_all, &out->arena, err);
    if (code == FM_OK && settled)
        out->mark = now;
    globfree(&found);
    return code;
}
