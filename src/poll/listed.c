/* targets_file: what the files say becomes targets. The files are read by a helper; the poll thread
 * compares what they say with what there is. A file that has a fault or has gone keeps the targets
 * that it named before, and is told of in log, /stats and /health until it is mended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

/* ---- having the files read ---- */

static void look_at(struct fm_poll *poll, struct fm_section *s)
{
    struct fm_err err = {0};
    struct fm_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return;
    job->kind = FM_JOB_FILES;
    job->target = ++poll->next_id;
    job->mark = s->list.mark;
    job->pattern = strdup(s->opts->targets_file);
    fm_arena_init(&job->list.arena, FM_FILES_BYTES);
    enum fm_code code =
        job->pattern != NULL ? fm_helpers_submit(poll->helpers, &job, &err) : fm_err_nomem(&err);
    if (code == FM_OK)
        s->reading = poll->next_id;
    else
        fm_log_limited(poll->log, FM_LOG_WARN, "files", "target %s: cannot look at %s: %s",
                       s->opts->name, s->opts->targets_file, fm_err_text(&err));
    fm_job_free(job);
}

void fm_listed_look(struct fm_poll *poll)
{
    for (size_t i = 0; i < poll->n_sections; i++)
        if (poll->sections[i].kind == FM_TARGET_LISTED && poll->sections[i].reading == 0)
            look_at(poll, &poll->sections[i]);
    poll->next_files_ms = fm_clock_ms() + poll->files_ms;
}

/* ---- what stays of a faulty file ---- */

static const struct fm_file *find_file(const struct fm_file_list *list, const char *path)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->files[i].path, path) == 0)
            return &list->files[i];
    return NULL;
}

static const char *copy(struct fm_arena *arena, const char *text, bool *ok)
{
    const char *out = fm_arena_strndup(arena, text, strlen(text));
    *ok = *ok && out != NULL;
    return out;
}

/* The entries that a file had before, in the new list's memory. */
static bool keep_entries(struct fm_file *to, const struct fm_file *from, struct fm_arena *arena)
{
    bool ok = true;
    struct fm_file_entry *entries = fm_arena_array(arena, from->n + 1, sizeof *entries);
    for (size_t i = 0; entries != NULL && ok && i < from->n; i++) {
        const struct fm_file_entry *e = &from->entries[i];
        struct fm_sample_tag *labels = fm_arena_array(arena, e->n_labels + 1, sizeof *labels);
        if (labels == NULL)
            return false;
        for (size_t k = 0; k < e->n_labels; k++)
            labels[k] = (struct fm_sample_tag){copy(arena, e->labels[k].name, &ok),
                                               copy(arena, e->labels[k].value, &ok)};
        entries[i] = (struct fm_file_entry){.url = copy(arena, e->url, &ok),
                                            .part = copy(arena, e->part, &ok),
                                            .labels = labels,
                                            .n_labels = e->n_labels};
    }
    to->entries = entries;
    to->n = from->n;
    return ok && entries != NULL;
}

static enum fm_code merge(struct fm_file_list *list, const struct fm_file_list *old,
                          struct fm_err *err)
{
    list->fault = NULL;
    list->n_targets = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct fm_file *file = &list->files[i];
        const struct fm_file *before = find_file(old, file->path);
        if (file->fault != NULL && before != NULL && before->n > 0 &&
            !keep_entries(file, before, &list->arena))
            return fm_file_no_room(&list->arena, err);
        if (list->fault == NULL)
            list->fault = file->fault;
        list->n_targets += file->n;
    }
    return FM_OK;
}

/* ---- targets ---- */

static struct fm_file_entry *next_entry(const struct fm_file_list *list, size_t *file, size_t *at)
{
    for (; *file < list->n; (*file)++, *at = 0)
        if (*at < list->files[*file].n)
            return &list->files[*file].entries[(*at)++];
    return NULL;
}

/* Which targets the list names; the others go. Names that stay are put into taken. */
static bool compare(struct fm_poll *poll, size_t section, const struct fm_file_list *list,
                    json_t *taken)
{
    json_t *by_url = json_object();
    bool ok = by_url != NULL;
    for (size_t i = 0; i < poll->n_targets; i++) {
        struct fm_target *t = poll->targets[i];
        if (t->section != section)
            continue;
        t->listed = false;
        t->tags = NULL; /* they lie in the list before */
        t->n_tags = 0;
        ok = ok && json_object_set_new(by_url, t->url, json_integer((json_int_t)i)) == 0;
    }
    size_t file = 0, at = 0;
    for (struct fm_file_entry *e; ok && (e = next_entry(list, &file, &at)) != NULL;) {
        const json_t *index = json_object_get(by_url, e->url);
        e->known = index != NULL;
        if (json_is_integer(index)) {
            struct fm_target *t = poll->targets[json_integer_value(index)];
            t->listed = true;
            t->tags = e->labels;
            t->n_tags = e->n_labels;
            ok = json_object_set_new(taken, t->part, json_true()) == 0;
        }
        /* The first of several that say the same counts. */
        ok = ok && json_object_set_new(by_url, e->url, json_true()) == 0;
    }
    json_decref(by_url);
    return ok;
}

static size_t drop_unlisted(struct fm_poll *poll, size_t section)
{
    size_t n = 0;
    for (size_t i = poll->n_targets; i-- > 0;) {
        struct fm_target *t = poll->targets[i];
        if (t->section != section || t->listed)
            continue;
        fm_target_retire(t);
        fm_poll_drop(poll, i);
        n++;
    }
    return n;
}

static enum fm_code add_target(struct fm_poll *poll, size_t section, const struct fm_file_entry *e,
                               json_t *taken, struct fm_err *err)
{
    char part[160];
    for (unsigned i = 1; i == 1 || json_object_get(taken, part) != NULL; i++)
        fm_part_name(part, sizeof part, e->part, i);
    struct fm_target *t = NULL;
    if (json_object_set_new(taken, part, json_true()) != 0)
        return fm_err_nomem(err);
    FM_TRY(fm_target_new(&t, poll, section, part, e->url, err));
    t->tags = e->labels;
    t->n_tags = e->n_labels;
    enum fm_code code = fm_poll_add(poll, t, err);
    if (code != FM_OK)
        fm_target_free(t);
    return code;
}

static void explain(struct fm_poll *poll, struct fm_section *s, const struct fm_err *err)
{
    const char *fault = err->code != FM_OK      ? fm_err_text(err)
                        : s->list.fault != NULL ? s->list.fault
                                                : "";
    char text[sizeof s->fault];
    (void)snprintf(text, sizeof text, "%s", fault);
    fm_utf8_cut(text);
    bool news = strcmp(text, s->fault) != 0;
    (void)pthread_mutex_lock(&poll->lock);
    memcpy(s->fault, text, sizeof s->fault);
    s->empty = s->list.n_targets == 0;
    (void)snprintf(s->why, sizeof s->why, "%s%.200s", text[0] != '\0' ? "" : "no target stands in ",
                   text[0] != '\0' ? text : s->opts->targets_file);
    (void)pthread_mutex_unlock(&poll->lock);
    if (news && text[0] != '\0')
        fm_log(poll->log, FM_LOG_WARN, "target %s: %s (the targets read before stay)",
               s->opts->name, text);
    else if (news)
        fm_log(poll->log, FM_LOG_INFO, "target %s: targets_file can be read again", s->opts->name);
}

enum fm_code fm_listed_expand(struct fm_poll *poll, size_t section, struct fm_err *err)
{
    struct fm_section *s = &poll->sections[section];
    size_t before = poll->n_targets, gone = 0;
    json_t *taken = json_object();
    enum fm_code code = FM_OK;
    if (taken == NULL || !compare(poll, section, &s->list, taken))
        code = fm_err_nomem(err);
    if (code == FM_OK)
        gone = drop_unlisted(poll, section);
    size_t file = 0, at = 0;
    for (struct fm_file_entry *e; code == FM_OK && (e = next_entry(&s->list, &file, &at)) != NULL;)
        if (!e->known)
            code = add_target(poll, section, e, taken, err);
    json_decref(taken);
    size_t added = poll->n_targets + gone - before;
    if (added > 0 || gone > 0)
        fm_log(poll->log, FM_LOG_INFO,
               "target %s: targets_file names %zu targets, %zu new, %zu gone", s->opts->name,
               s->list.n_targets, added, gone);
    fm_client_keep(poll->client, (unsigned)poll->n_targets + 8);
    fm_poll_check_files(poll);
    return code;
}

void fm_listed_read(struct fm_poll *poll, struct fm_job *job)
{
    struct fm_err err = job->err;
    size_t i = 0;
    while (i < poll->n_sections && poll->sections[i].reading != job->target)
        i++;
    if (i == poll->n_sections)
        return; /* a reload came in between */
    struct fm_section *s = &poll->sections[i];
    s->reading = 0;
    s->expanded = true;
    enum fm_code code = job->code;
    if (code == FM_OK && job->changed)
        code = merge(&job->list, &s->list, &err);
    if (code == FM_OK && job->changed) {
        struct fm_file_list old = s->list;
        job->list.wall_ms = fm_wall_ms();
        (void)pthread_mutex_lock(&poll->lock);
        s->list = job->list;
        (void)pthread_mutex_unlock(&poll->lock);
        job->list = (struct fm_file_list){0};
        code = fm_listed_expand(poll, i, &err);
        if (code != FM_OK)
            s->list.mark = 0; /* tried again at the next look */
        fm_arena_clear(&old.arena);
    }
    explain(poll, s, &err);
}

/* ---- for commands ---- */

/* How the poll thread names an entry when it reads the list for the first time: by how many others
 * of the same place stand before it. 0: it repeats one of them */
static unsigned ordinal(const struct fm_file_list *list, const struct fm_file_entry *entry)
{
    size_t file = 0, at = 0;
    unsigned n = 1;
    const struct fm_file_entry *e;
    while ((e = next_entry(list, &file, &at)) != NULL && e != entry) {
        if (strcmp(e->url, entry->url) == 0)
            return 0;
        n += strcmp(e->part, entry->part) == 0;
    }
    return n;
}

enum fm_code fm_listed_url(char *out, size_t size, const struct fm_poll_target_opts *opts,
                           const char *part, struct fm_err *err)
{
    struct fm_file_list list = {0};
    bool changed = false;
    size_t file = 0, at = 0, found = 0;
    char example[160] = "";
    fm_arena_init(&list.arena, FM_FILES_BYTES);
    enum fm_code code = fm_files_read(&list, opts->targets_file, 0, &changed, err);
    if (code == FM_OK)
        code = merge(&list, &(struct fm_file_list){0}, err);
    for (const struct fm_file_entry *e;
         code == FM_OK && (e = next_entry(&list, &file, &at)) != NULL;) {
        char name[160];
        if (part != NULL && strncmp(part, e->part, strlen(e->part)) != 0)
            continue;
        unsigned nth = ordinal(&list, e);
        fm_part_name(name, sizeof name, e->part, nth);
        if (nth == 0 || (part != NULL && strcmp(part, name) != 0))
            continue;
        if (found++ == 0)
            (void)snprintf(out, size, "%s", e->url);
        (void)snprintf(example, sizeof example, "%s", name);
    }
    if (code == FM_OK && found == 0)
        code = list.fault != NULL
                   ? fm_err_set(err, FM_ENOTFOUND, "target %s: %s", opts->name, list.fault)
                   : fm_err_set(err, FM_ENOTFOUND, "%.100s names no target %.60s",
                                opts->targets_file, part != NULL ? part : "");
    else if (code == FM_OK && found > 1)
        code =
            fm_err_set(err, FM_ENOTFOUND, "target %s stands for %zu targets: say %s/%s or another",
                       opts->name, found, opts->name, example);
    fm_arena_clear(&list.arena);
    return code;
}

enum fm_code fm_target_files(struct fm_poll_files *out, const struct fm_poll_target_opts *opts,
                             struct fm_arena *arena, struct fm_err *err)
{
    struct fm_file_list list = {0};
    bool changed = false, ok = true;
    struct fm_err why = {0};
    *out = (struct fm_poll_files){.section = copy(arena, opts->name, &ok),
                                  .path = copy(arena, opts->targets_file, &ok)};
    fm_arena_init(&list.arena, FM_FILES_BYTES);
    enum fm_code code = fm_files_read(&list, opts->targets_file, 0, &changed, &why);
    if (code == FM_OK)
        code = merge(&list, &(struct fm_file_list){0}, &why);
    out->files = list.n;
    out->targets = list.n_targets;
    const char *fault = code != FM_OK ? fm_err_text(&why) : list.fault;
    if (fault != NULL)
        out->error = copy(arena, fault, &ok);
    fm_arena_clear(&list.arena);
    return ok ? FM_OK : fm_err_nomem(err);
}
