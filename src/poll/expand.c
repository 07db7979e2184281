/* Sections become targets: one for a plain url, one per host, one per JVM of local:GLOB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

enum {
    NAME_KEPT_MS = 300000, /* a JVM that comes back within takes its name again */
    SAME_START_MS = 2000, /* start times from /proc and hsperfdata differ by a little */
    STARTING_MS = 15000, /* how long an unfinished hsperfdata means a JVM that starts */
    SOON_MS = 1000
};

static enum fm_code check_section(struct fm_section *s, struct fm_err *err)
{
    const struct fm_poll_target_opts *o = s->opts;
    if (o->targets_file != NULL && o->targets_file[0] != '\0') {
        s->kind = FM_TARGET_LISTED;
        if (o->url != NULL || o->n_hosts > 0)
            return fm_err_set(err, FM_ECONF, "target %s: either url or targets_file", o->name);
        return FM_OK;
    }
    if (fm_target_parse(o->url, &s->kind, &s->pid, &s->glob, err) != FM_OK)
        return fm_err_context(err, "target %s", o->name);
    if (o->n_hosts > 0 && (s->kind != FM_TARGET_NET || strstr(o->url, "${host}") == NULL))
        return fm_err_set(err, FM_ECONF, "target %s: hosts need ${host} in url", o->name);
    return FM_OK;
}

void fm_sections_free(struct fm_section *sections, size_t n)
{
    for (size_t i = 0; sections != NULL && i < n; i++)
        fm_arena_clear(&sections[i].list.arena);
    free(sections);
}

/* What was read of a file that is the same one stays in force until it is read anew; that no JVM
 * matches, until they are looked at again. */
void fm_section_inherit(struct fm_section *s, struct fm_section *old)
{
    if (s->kind == FM_TARGET_LOCAL && old->kind == FM_TARGET_LOCAL &&
        strcmp(s->opts->name, old->opts->name) == 0 && strcmp(s->glob, old->glob) == 0) {
        memcpy(s->why, old->why, sizeof s->why);
        memcpy(s->skipped, old->skipped, sizeof s->skipped);
        s->empty = old->empty;
        s->lacking = old->lacking;
        s->told_absent = old->told_absent;
    }
    if (s->kind != FM_TARGET_LISTED || old->kind != FM_TARGET_LISTED ||
        strcmp(s->opts->name, old->opts->name) != 0 ||
        strcmp(s->opts->targets_file, old->opts->targets_file) != 0)
        return;
    s->list = old->list;
    s->reading = old->reading;
    memcpy(s->fault, old->fault, sizeof s->fault);
    memcpy(s->why, old->why, sizeof s->why);
    s->empty = old->empty;
    old->list = (struct fm_file_list){0};
}

enum fm_code fm_sections_new(struct fm_section **out, size_t *n,
                             const struct fm_poll_target_opts *opts, size_t n_opts,
                             struct fm_err *err)
{
    struct fm_section *list = calloc(n_opts + 1, sizeof *list);
    if (list == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n_opts; i++) {
        struct fm_section *s = &list[i];
        enum fm_code code = FM_OK;
        s->opts = &opts[i];
        if (opts[i].name == NULL || opts[i].name[0] == '\0')
            code = fm_err_set(err, FM_ECONF, "target %zu has no name", i + 1);
        for (size_t k = 0; code == FM_OK && k < i; k++)
            if (strcmp(opts[k].name, opts[i].name) == 0)
                code = fm_err_set(err, FM_ECONF, "target %s is there twice", opts[i].name);
        if (code == FM_OK)
            code = check_section(s, err);
        if (code != FM_OK) {
            free(list);
            return code;
        }
    }
    *out = list;
    *n = n_opts;
    return FM_OK;
}

enum fm_code fm_poll_add(struct fm_poll *poll, struct fm_target *t, struct fm_err *err)
{
    (void)pthread_mutex_lock(&poll->lock);
    enum fm_code code = FM_OK;
    if (poll->n_targets == poll->cap_targets) {
        size_t cap = poll->cap_targets == 0 ? 16 : poll->cap_targets * 2;
        struct fm_target **list = realloc(poll->targets, cap * sizeof(struct fm_target *));
        if (list == NULL) {
            code = fm_err_nomem(err);
        } else {
            poll->targets = list;
            poll->cap_targets = cap;
        }
    }
    if (code == FM_OK) {
        fm_past_take(poll, t);
        poll->targets[poll->n_targets++] = t;
    }
    (void)pthread_mutex_unlock(&poll->lock);
    poll->timer_ms = 0;
    return code;
}

void fm_poll_drop(struct fm_poll *poll, size_t index)
{
    struct fm_target *t = poll->targets[index];
    (void)pthread_mutex_lock(&poll->lock);
    memmove(&poll->targets[index], &poll->targets[index + 1],
            (poll->n_targets - index - 1) * sizeof(struct fm_target *));
    poll->n_targets--;
    (void)pthread_mutex_unlock(&poll->lock);
    fm_past_keep(poll, t);
    fm_target_free(t);
}

static enum fm_code add(struct fm_poll *poll, size_t section, const char *part,
                        const struct fm_jvm *jvm, struct fm_err *err)
{
    struct fm_target *t = NULL;
    FM_TRY(fm_target_new(&t, poll, section, part, NULL, err));
    if (jvm != NULL) {
        t->pid = jvm->pid;
        t->jvm_start_ms = jvm->start_ms;
        (void)snprintf(t->shown, sizeof t->shown, "pid:%d", (int)jvm->pid);
    }
    enum fm_code code = fm_poll_add(poll, t, err);
    if (code != FM_OK)
        fm_target_free(t);
    return code;
}

void fm_poll_check_files(const struct fm_poll *poll)
{
    enum { OTHERS = 64 };
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
        poll->n_targets + OTHERS > files.rlim_cur)
        fm_log_limited(poll->log, FM_LOG_WARN, "descriptors",
                       "%zu targets need a connection each, but only %llu files may be open: raise "
                       "the limit (LimitNOFILE of the service, ulimit -n)",
                       poll->n_targets, (unsigned long long)files.rlim_cur);
}

enum fm_code fm_sections_expand(struct fm_poll *poll, struct fm_err *err)
{
    for (size_t i = 0; i < poll->n_sections; i++) {
        struct fm_section *s = &poll->sections[i];
        poll->have_local = poll->have_local || s->kind == FM_TARGET_LOCAL;
        poll->have_files = poll->have_files || s->kind == FM_TARGET_LISTED;
        if (s->kind == FM_TARGET_LISTED && s->list.n > 0)
            FM_TRY(fm_listed_expand(poll, i, err));
        if (s->expanded || s->kind == FM_TARGET_LOCAL || s->kind == FM_TARGET_LISTED)
            continue;
        s->expanded = true;
        if (s->opts->n_hosts == 0)
            FM_TRY(add(poll, i, NULL, NULL, err));
        for (size_t k = 0; k < s->opts->n_hosts; k++)
            FM_TRY(add(poll, i, s->opts->hosts[k], NULL, err));
    }
    fm_poll_check_files(poll);
    return FM_OK;
}

/* ---- local JVMs ---- */

static bool same_jvm(const struct fm_target *t, const struct fm_jvm *jvm)
{
    int64_t apart = t->jvm_start_ms - jvm->start_ms;
    return t->pid == jvm->pid && apart <= SAME_START_MS && apart >= -SAME_START_MS;
}

static struct fm_target *find_jvm(const struct fm_poll *poll, size_t section,
                                  const struct fm_jvm *jvm)
{
    for (size_t i = 0; i < poll->n_targets; i++) {
        struct fm_target *t = poll->targets[i];
        if (t->section == section && t->gone_ms == 0 && same_jvm(t, jvm))
            return t;
    }
    return NULL;
}

static struct fm_target *find_part(const struct fm_poll *poll, size_t section, const char *part)
{
    for (size_t i = 0; i < poll->n_targets; i++)
        if (poll->targets[i]->section == section && strcmp(poll->targets[i]->part, part) == 0)
            return poll->targets[i];
    return NULL;
}

static void revive(struct fm_target *t, const struct fm_jvm *jvm)
{
    (void)pthread_mutex_lock(&t->poll->lock);
    t->gone_ms = 0;
    t->pid = jvm->pid;
    t->jvm_start_ms = jvm->start_ms;
    (void)snprintf(t->shown, sizeof t->shown, "pid:%d", (int)jvm->pid);
    (void)pthread_mutex_unlock(&t->poll->lock);
    t->fails = 0;
    t->not_before_ms = 0;
    t->begun = false;
    t->due_ms = fm_clock_ms();
    t->poll->timer_ms = 0;
}

void fm_part_name(char *out, size_t size, const char *part, unsigned i)
{
    if (i == 1)
        (void)snprintf(out, size, "%.140s", part);
    else
        (void)snprintf(out, size, "%.140s~%u", part, i);
    fm_utf8_cut(out);
}

/* A JVM seen for the first time: its name is the first of PART, PART~2, ... that is free or waits
 * for a JVM that ended a short while ago. */
static void take_in(struct fm_poll *poll, size_t section, const struct fm_jvm *jvm)
{
    struct fm_err err = {0};
    for (unsigned i = 1; i < 10000; i++) {
        char part[160];
        fm_part_name(part, sizeof part, jvm->name, i);
        struct fm_target *t = find_part(poll, section, part);
        if (t != NULL && t->gone_ms == 0)
            continue;
        if (t != NULL)
            revive(t, jvm);
        else if (add(poll, section, part, jvm, &err) != FM_OK)
            fm_log_limited(poll->log, FM_LOG_ERROR, "expand", "target %s: %s",
                           poll->sections[section].opts->name, fm_err_text(&err));
        return;
    }
}

static void lose(struct fm_target *t)
{
    fm_target_close(t);
    t->phase = FM_PHASE_IDLE;
    (void)pthread_mutex_lock(&t->poll->lock);
    t->gone_ms = fm_clock_ms();
    t->code = FM_EGONE;
    (void)snprintf(t->error, sizeof t->error, "the JVM has ended");
    (void)pthread_mutex_unlock(&t->poll->lock);
    fm_target_set_state(t, FM_POLL_DOWN, "the JVM has ended");
}

static int compare_starts(const void *a, const void *b)
{
    const struct fm_jvm *x = *(const struct fm_jvm *const *)a;
    const struct fm_jvm *y = *(const struct fm_jvm *const *)b;
    if (x->start_ms != y->start_ms)
        return x->start_ms > y->start_ms ? 1 : -1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* What a section takes of the JVMs there are. */
struct choice {
    const struct fm_jvm **jvms;
    size_t n;
    size_t skipped;
    const struct fm_jvm *example; /* of the skipped */
    bool starting;
};

static void choose(const struct fm_section *s, const struct fm_job *job, struct choice *out)
{
    for (size_t i = 0; i < job->n; i++) {
        const struct fm_jvm *jvm = &job->jvms[i];
        if (!fm_target_local_match(s->glob, jvm))
            continue;
        if (jvm->state == FM_JVM_STARTING && fm_wall_ms() - jvm->start_ms < STARTING_MS) {
            out->starting = true;
        } else if (strcmp(s->glob, "*") == 0 && !fm_target_pollable(jvm, s->opts->attach)) {
            /* Named by nobody: that it is closed to us is no fault of a target. */
            out->skipped++;
            out->example = jvm;
        } else {
            out->jvms[out->n++] = jvm;
        }
    }
    if (out->n > 1)
        qsort(out->jvms, out->n, sizeof(const struct fm_jvm *), compare_starts);
}

bool fm_section_absent(const struct fm_poll *poll, size_t section)
{
    bool absent = poll->sections[section].lacking;
    for (size_t i = 0; absent && i < poll->n_targets; i++)
        absent = poll->targets[i]->section != section;
    return absent;
}

/* Once when it begins and once when it ends. While the name of a JVM that ended is kept, its
 * target is down and was told of. */
static void tell_absent(struct fm_poll *poll, size_t index)
{
    struct fm_section *s = &poll->sections[index];
    bool absent = fm_section_absent(poll, index);
    if (absent && !s->told_absent)
        fm_log(poll->log, FM_LOG_WARN,
               "target %s: %s; it is polled as soon as it runs, firstmile jvms lists those that do",
               s->opts->name, s->why);
    else if (s->told_absent && !absent)
        fm_log(poll->log, FM_LOG_INFO, "target %s: a JVM that matches local:%.100s runs now",
               s->opts->name, s->glob);
    s->told_absent = absent;
}

/* Stars alone take whatever runs, nothing too; any other pattern means a JVM that should be there.
 */
static bool names_some(const char *glob)
{
    return glob[strspn(glob, "*")] != '\0';
}

static void explain(struct fm_poll *poll, size_t index, const struct fm_job *job,
                    const struct choice *choice)
{
    struct fm_section *s = &poll->sections[index];
    char text[240] = "";
    if (choice->skipped > 0) {
        (void)snprintf(text, sizeof text,
                       "%zu of the JVMs here cannot be polled; JVM %d (%.40s) %.120s",
                       choice->skipped, (int)choice->example->pid, choice->example->name,
                       choice->example->note != NULL ? choice->example->note : "is closed to us");
        fm_utf8_cut(text);
        if (strncmp(s->skipped, text, sizeof s->skipped - 1) != 0)
            fm_log(poll->log, FM_LOG_INFO, "target %s: %s", s->opts->name, text);
        (void)snprintf(s->skipped, sizeof s->skipped, "%.159s", text);
    }
    if (text[0] == '\0' && choice->starting)
        (void)snprintf(text, sizeof text, "a JVM that matches local:%.100s is starting", s->glob);
    else if (text[0] == '\0')
        fm_local_explain(text, sizeof text, s->glob, NULL, job->jvms, job->n);
    (void)pthread_mutex_lock(&poll->lock);
    s->empty = choice->n == 0;
    s->lacking = s->empty && !choice->starting && names_some(s->glob);
    memcpy(s->why, text, sizeof s->why);
    (void)pthread_mutex_unlock(&poll->lock);
    tell_absent(poll, index);
}

static void scan_section(struct fm_poll *poll, size_t index, const struct fm_job *job,
                         struct choice *choice)
{
    struct fm_section *s = &poll->sections[index];
    int64_t now = fm_clock_ms();
    choose(s, job, choice);
    for (size_t i = poll->n_targets; i-- > 0;) {
        struct fm_target *t = poll->targets[i];
        if (t->section != index)
            continue;
        bool there = false;
        for (size_t k = 0; !there && k < choice->n; k++)
            there = t->gone_ms == 0 && same_jvm(t, choice->jvms[k]);
        if (!there && t->gone_ms == 0)
            lose(t);
        else if (!there && now - t->gone_ms > NAME_KEPT_MS)
            fm_poll_drop(poll, i);
    }
    for (size_t k = 0; k < choice->n; k++)
        if (find_jvm(poll, index, choice->jvms[k]) == NULL)
            take_in(poll, index, choice->jvms[k]);
    s->expanded = true;
    explain(poll, index, job, choice);
}

void fm_sections_scanned(struct fm_poll *poll, const struct fm_job *job)
{
    poll->scanning = false;
    poll->next_scan_ms = fm_clock_ms() + poll->scan_ms;
    if (job->code != FM_OK) {
        fm_log_limited(poll->log, FM_LOG_WARN, "scan", "cannot look for JVMs: %s",
                       fm_err_text(&job->err));
        return;
    }
    const struct fm_jvm **room = calloc(job->n + 1, sizeof(const struct fm_jvm *));
    for (size_t i = 0; room != NULL && i < poll->n_sections; i++) {
        if (poll->sections[i].kind != FM_TARGET_LOCAL)
            continue;
        struct choice choice = {.jvms = room};
        scan_section(poll, i, job, &choice);
        if (choice.starting && poll->scan_ms > SOON_MS)
            poll->next_scan_ms = fm_clock_ms() + SOON_MS;
    }
    free(room);
}
