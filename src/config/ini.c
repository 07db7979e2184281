/* Files to entries, with libini_config. It is handed the bytes of a file that was read and bounded
 * here; section lines, which it does not tell, are found by looking at the heads. */
#include "config/ini_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <ini_configobj.h>
#include <ini_valueobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"

bool fm_entries_add(struct fm_build *b, const struct fm_entry *entry)
{
    struct fm_entries *list = &b->entries;
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 256 : 2 * list->cap;
        struct fm_entry *items = realloc(list->items, cap * sizeof *items);
        if (items == NULL) {
            b->nomem = true;
            return false;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = *entry;
    return true;
}

/* ---- the library ---- */

/* The library keeps keys before the first section in a section of this name, but does not list the
 * first of them unless the section has a head: it is given one, in a line of its own. */
static const char first_line[] = "[" INI_DEFAULT_SECTION "]\n";
enum { FIRST_LINE = sizeof first_line - 1 };

static const char *syntax_text(unsigned code)
{
    switch (code) {
    case ERR_NOCLOSESEC:
        return "the section's name has no closing bracket, or something follows it";
    case ERR_NOSECTION:
        return "the section has no name";
    case ERR_SECTIONLONG:
        return "the section's name is too long";
    case ERR_NOEQUAL:
        return "neither [section] nor key = value; sections and comments start in the first column";
    case ERR_NOKEY:
        return "nothing stands before the equal sign";
    case ERR_LONGKEY:
        return "the key is too long";
    default:
        return "the line cannot be read";
    }
}

static void report_syntax(struct fm_build *b, struct fm_ini_text *t, struct ini_cfgobj *ini)
{
    char **list = NULL;
    if (ini_config_error_count(ini) == 0 || ini_config_get_errors(ini, &list) != 0) {
        fm_build_error(b, t->file, 0, "the file cannot be parsed");
        return;
    }
    for (size_t i = 0; list[i] != NULL; i++) {
        unsigned code = 0, line = 0;
        if (sscanf(list[i], "%*[^(](%u) on line %u", &code, &line) == 2 && line > 0) {
            fm_build_error(b, t->file, line - 1, "%s", syntax_text(code));
            fm_ini_mark(t, line - 1);
        } else
            fm_build_error(b, t->file, 0, "%s", list[i]);
    }
    ini_config_free_errors(list);
}

static void take_key(struct fm_build *b, const struct fm_ini_text *t, struct ini_cfgobj *ini,
                     const char *section, const char *key)
{
    struct value_obj *vo = NULL;
    unsigned line = 0;
    if (ini_get_config_valueobj(section, key, ini, INI_GET_FIRST_VALUE, &vo) != 0 || vo == NULL) {
        b->nomem = true;
        return;
    }
    (void)value_get_line(vo, &line);
    int bad = 0;
    const char *value = ini_get_const_string_config_value(vo, &bad);
    struct fm_entry entry = {
        .file = t->file,
        .line = line > 0 ? line - 1 : 0,
        .section = fm_build_strdup(b, strcmp(section, INI_DEFAULT_SECTION) == 0 ? "" : section),
        .key = fm_build_strdup(b, key),
        .value = fm_build_strdup(b, value == NULL ? "" : value),
        .exposed = t->exposed,
    };
    if (!b->nomem)
        (void)fm_entries_add(b, &entry);
}

static void take_section(struct fm_build *b, const struct fm_ini_text *t, struct ini_cfgobj *ini,
                         const char *section)
{
    for (size_t i = 0; i < t->n_heads; i++) {
        if (strcmp(t->heads[i].name, section) != 0)
            continue;
        struct fm_entry head = {
            .file = t->file,
            .line = t->heads[i].line,
            .section = t->heads[i].name,
            .torn = t->heads[i].torn,
        };
        (void)fm_entries_add(b, &head);
    }
    int n = 0, bad = 0;
    char **keys = ini_get_attribute_list(ini, section, &n, &bad);
    for (int i = 0; keys != NULL && i < n && !b->nomem; i++)
        take_key(b, t, ini, section, keys[i]);
    if (keys != NULL)
        ini_free_attribute_list(keys);
}

/* @param again  after the lines were left out that the library refused: they were told
 * @return false: it refused some */
static bool parse(struct fm_build *b, struct fm_ini_text *t, bool again)
{
    struct ini_cfgobj *ini = NULL;
    struct ini_cfgfile *file = NULL;
    struct fm_buf copy; /* the library wants a buffer that it may write to */
    fm_buf_init(&copy, 0);
    fm_buf_put(&copy, first_line, FIRST_LINE);
    fm_ini_clean(t, &copy);
    uint32_t len = (uint32_t)copy.len;
    char *text = fm_buf_take(&copy);
    if (text == NULL || ini_config_create(&ini) != 0) {
        free(text);
        b->nomem = true;
        return true;
    }
    int code = ini_config_file_from_mem(text, len, &file);
    if (code == 0)
        code = ini_config_parse(file, INI_STOP_ON_NONE,
                                INI_MV1S_PRESERVE | INI_MV2S_PRESERVE | INI_MS_MERGE,
                                INI_PARSE_NOWRAP | INI_PARSE_NO_C_COMMENTS, ini);
    if (code != 0 && !again) {
        report_syntax(b, t, ini);
    } else if (code == 0) {
        int n = 0, bad = 0;
        char **sections = ini_get_section_list(ini, &n, &bad);
        for (int i = 0; sections != NULL && i < n && !b->nomem; i++)
            take_section(b, t, ini, sections[i]);
        if (sections != NULL)
            ini_free_section_list(sections);
    }
    ini_config_file_destroy(file);
    ini_config_destroy(ini);
    free(text);
    return code == 0;
}

static void read_text(struct fm_build *b, struct fm_ini_text *t)
{
    if (fm_ini_look(b, t) && t->len > 0 && !parse(b, t, false))
        (void)parse(b, t, true);
    fm_ini_text_clear(t);
}

void fm_ini_read_text(struct fm_build *b, const char *name, const char *text, bool exposed)
{
    struct fm_ini_text t = {.file = name, .data = text, .len = strlen(text), .exposed = exposed};
    read_text(b, &t);
}

/* ---- files and includes ---- */

struct trail { /* the files that are being read, from the inner one out: no circles */
    const struct trail *up;
    dev_t dev;
    ino_t ino;
    const char *file;
    unsigned line; /* of the include */
    unsigned depth;
};

static void read_file(struct fm_build *b, const char *path, const struct trail *up);

/* The whole file, terminated; the caller frees. NULL: the error is noted. */
static char *slurp(struct fm_build *b, const char *path, const struct trail *up, struct stat *st,
                   size_t *len)
{
    const char *at = up == NULL ? NULL : up->file;
    unsigned line = up == NULL ? 0 : up->line;
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) != 0) {
        int sys = errno;
        fm_build_error(b, at, line, "cannot open %s: %s; %s", path, strerrordesc_np(sys),
                       sys == EACCES ? "run as a user who may read it"
                       : up == NULL  ? "name the right file with -c FILE"
                                     : "correct the name, or take the line out");
        return NULL;
    }
    if (!S_ISREG(st->st_mode) || st->st_size > FM_INI_FILE_MAX) {
        fm_build_error(b, at, line, "%s is %s", path,
                       S_ISREG(st->st_mode) ? "larger than 1 MiB" : "not a regular file");
        return NULL;
    }
    char *data = malloc(FM_INI_FILE_MAX + 1);
    ssize_t n = 0;
    *len = 0;
    while (data != NULL && (n = read(fd, data + *len, FM_INI_FILE_MAX - *len)) > 0)
        *len += (size_t)n;
    if (data == NULL || n < 0) {
        if (data == NULL)
            b->nomem = true;
        else
            fm_build_error(b, at, line, "cannot read %s: %s", path, strerrordesc_np(errno));
        free(data);
        return NULL;
    }
    data[*len] = '\0';
    return data;
}

/* No fault: the folder may be filled later. But a misspelt one looks the same. */
static void note_idle(struct fm_build *b, const char *path, const struct trail *here)
{
    struct fm_strlist *list = &b->cfg->idle_includes;
    char text[512];
    if (list->items == NULL || list->n == FM_INI_FILES_MAX)
        return;
    (void)snprintf(text, sizeof text, "%.150s:%u: include: no file matches %.250s", here->file,
                   here->line, path);
    const char *kept = fm_build_strdup(b, text);
    if (kept != NULL)
        list->items[list->n++] = kept;
}

static void include_pattern(struct fm_build *b, const char *pattern, const struct trail *here)
{
    struct fm_buf path;
    fm_buf_init(&path, 0);
    const char *slash = strrchr(here->file, '/');
    if (pattern[0] != '/' && slash != NULL)
        fm_buf_put(&path, here->file, (size_t)(slash - here->file) + 1);
    fm_buf_puts(&path, pattern);
    glob_t found = {0};
    int code = glob(fm_buf_str(&path), 0, NULL, &found);
    /* A pattern may match nothing, a plain name may not. */
    if (code == GLOB_NOMATCH && strpbrk(pattern, "*?[") == NULL)
        fm_build_error(b, here->file, here->line, "include: there is no file %s",
                       fm_buf_str(&path));
    else if (code != 0 && code != GLOB_NOMATCH)
        fm_build_error(b, here->file, here->line, "include: cannot list %s", fm_buf_str(&path));
    else if (code == GLOB_NOMATCH)
        note_idle(b, fm_buf_str(&path), here);
    for (size_t i = 0; code == 0 && i < found.gl_pathc; i++)
        read_file(b, found.gl_pathv[i], here);
    globfree(&found);
    fm_buf_clear(&path);
}

/* include = a.ini, conf.d/?.ini stands before the first section. */
static void follow_includes(struct fm_build *b, size_t from, struct trail *here)
{
    size_t to = b->entries.n;
    for (size_t i = from; i < to; i++) {
        const struct fm_entry *entry = &b->entries.items[i];
        if (entry->key == NULL || entry->section[0] != '\0' || strcmp(entry->key, "include") != 0)
            continue;
        here->line = entry->line;
        char *list = fm_build_strdup(b, entry->value);
        char *rest = list;
        while (rest != NULL) {
            char *item = strsep(&rest, ",");
            item += strspn(item, " \t");
            size_t len = strlen(item);
            while (len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t'))
                item[--len] = '\0';
            if (len > 0)
                include_pattern(b, item, here);
        }
    }
}

static bool may_read(struct fm_build *b, const char *path, const struct stat *st,
                     const struct trail *up)
{
    for (const struct trail *t = up; t != NULL; t = t->up) {
        if (t->dev != st->st_dev || t->ino != st->st_ino)
            continue;
        fm_build_error(b, up->file, up->line, "include: %s includes itself", path);
        return false;
    }
    if (up != NULL && (up->depth >= FM_INI_DEPTH_MAX || b->cfg->files.n >= FM_INI_FILES_MAX)) {
        fm_build_error(b, up->file, up->line, "include: more than %d files, or %d inside another",
                       FM_INI_FILES_MAX, FM_INI_DEPTH_MAX);
        return false;
    }
    return true;
}

static void read_file(struct fm_build *b, const char *path, const struct trail *up)
{
    struct stat st;
    size_t len = 0;
    FM_AUTO(fm_auto_free) char *data = slurp(b, path, up, &st, &len);
    const char *name = fm_build_strdup(b, path);
    if (data == NULL || name == NULL || !may_read(b, path, &st, up))
        return;
    b->cfg->files.items[b->cfg->files.n++] = name;
    size_t skip = len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct fm_ini_text t = {.file = name,
                            .data = data + skip,
                            .len = len - skip,
                            .exposed = (st.st_mode & (S_IRWXG | S_IRWXO)) != 0};
    size_t from = b->entries.n;
    read_text(b, &t);
    struct trail here = {.up = up,
                         .dev = st.st_dev,
                         .ino = st.st_ino,
                         .file = name,
                         .depth = up == NULL ? 1 : up->depth + 1};
    follow_includes(b, from, &here);
}

void fm_ini_read(struct fm_build *b, const char *path)
{
    b->cfg->files.items = fm_arena_array(&b->cfg->arena, FM_INI_FILES_MAX + 1, sizeof(char *));
    b->cfg->idle_includes.items = fm_arena_array(&b->cfg->arena, FM_INI_FILES_MAX, sizeof(char *));
    if (b->cfg->files.items == NULL || b->cfg->idle_includes.items == NULL) {
        b->nomem = true;
        return;
    }
    read_file(b, path, NULL);
}
