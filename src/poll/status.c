/* What others may see of the targets, copied under the lock. */
#include <string.h>

#include "poll/poll_priv.h"

static const char *text(struct fm_arena *arena, const char *from, bool *ok)
{
    const char *copy = fm_arena_strndup(arena, from, strlen(from));
    *ok = *ok && copy != NULL;
    return copy;
}

static const char *text_or_null(struct fm_arena *arena, const char *from, bool *ok)
{
    return from[0] != '\0' ? text(arena, from, ok) : NULL;
}

static const char *state_name(enum fm_poll_state state)
{
    static const char *const names[] = {"waiting", "up", "down", "empty"};
    return names[state];
}

static void copy_queries(struct fm_poll_status *to, const struct fm_target *t,
                         struct fm_arena *arena, bool *ok)
{
    struct fm_poll_query_status *list = fm_arena_array(arena, t->opts->n_queries + 1, sizeof *list);
    *ok = *ok && list != NULL;
    for (size_t q = 0; *ok && q < t->opts->n_queries; q++) {
        const struct fm_query_state *s = &t->queries[q];
        list[q] = (struct fm_poll_query_status){
            .name = text(arena, fm_query_name(t->opts->queries[q].query), ok),
            .matched = s->matched,
            .beans = s->beans,
            .asked = s->asked,
            .attributes = s->attributes,
            .errors = s->errors,
            .bytes = (uint64_t)(s->bytes + 0.5),
            .duration_ms = s->took_ms,
            .cut = s->cut,
            .error = text_or_null(arena, s->error, ok)};
    }
    to->queries = list;
    to->n_queries = list != NULL ? t->opts->n_queries : 0;
}

static void copy_target(struct fm_poll_status *to, const struct fm_target *t,
                        struct fm_arena *arena, bool *ok)
{
    *to = (struct fm_poll_status){.name = text(arena, t->name, ok),
                                  .section = text(arena, t->opts->name, ok),
                                  .host = text(arena, t->host, ok),
                                  .url = text(arena, t->shown, ok),
                                  .state = t->state,
                                  .state_name = state_name(t->state),
                                  .state_ms = t->state_wall_ms,
                                  .time_ms = t->last_wall_ms,
                                  .duration_ms = t->duration_ms,
                                  .late_ms = t->late_ms,
                                  .bytes = t->bytes,
                                  .bytes_out = t->bytes_out,
                                  .cut = t->cut,
                                  .round_trips = t->round_trips,
                                  .beans = t->beans,
                                  .attributes = t->attributes,
                                  .errors = t->errors,
                                  .polls = t->polls,
                                  .failed = t->failed,
                                  .missed = t->missed,
                                  .code = t->code,
                                  .error = text_or_null(arena, t->error, ok),
                                  .jvm = text_or_null(arena, t->seen_jvm, ok),
                                  .start_ms = t->seen_began_ms};
    copy_queries(to, t, arena, ok);
}

static void copy_empty(struct fm_poll_status *to, const struct fm_section *s, bool absent,
                       struct fm_arena *arena, bool *ok)
{
    *to = (struct fm_poll_status){
        .name = text(arena, s->opts->name, ok),
        .section = text(arena, s->opts->name, ok),
        .host = "",
        .url = text(arena, s->opts->url != NULL ? s->opts->url : s->opts->targets_file, ok),
        .state = FM_POLL_EMPTY,
        .state_name = state_name(FM_POLL_EMPTY),
        .absent = absent,
        .code = FM_ENOTFOUND,
        .error = text_or_null(arena, s->why, ok)};
}

static void copy_files(struct fm_poll_files *to, const struct fm_section *s, struct fm_arena *arena,
                       bool *ok)
{
    *to = (struct fm_poll_files){.section = text(arena, s->opts->name, ok),
                                 .path = text(arena, s->opts->targets_file, ok),
                                 .files = s->list.n,
                                 .targets = s->list.n_targets,
                                 .read_ms = s->list.wall_ms,
                                 .error = text_or_null(arena, s->fault, ok)};
}

enum fm_code fm_poll_status_get(struct fm_poll *poll, struct fm_poll_snapshot *out,
                                struct fm_err *err)
{
    bool ok = true;
    *out = (struct fm_poll_snapshot){0};
    fm_arena_init(&out->arena, 0);
    (void)pthread_mutex_lock(&poll->lock);
    out->targets =
        fm_arena_array(&out->arena, poll->n_targets + poll->n_sections + 1, sizeof *out->targets);
    out->files = fm_arena_array(&out->arena, poll->n_sections + 1, sizeof *out->files);
    ok = out->targets != NULL && out->files != NULL;
    for (size_t i = 0; ok && i < poll->n_targets; i++)
        copy_target(&out->targets[out->n++], poll->targets[i], &out->arena, &ok);
    for (size_t i = 0; ok && i < poll->n_sections; i++)
        if (poll->sections[i].empty)
            copy_empty(&out->targets[out->n++], &poll->sections[i], fm_section_absent(poll, i),
                       &out->arena, &ok);
    for (size_t i = 0; ok && i < poll->n_sections; i++)
        if (poll->sections[i].kind == FM_TARGET_LISTED)
            copy_files(&out->files[out->n_files++], &poll->sections[i], &out->arena, &ok);
    (void)pthread_mutex_unlock(&poll->lock);
    if (ok)
        return FM_OK;
    fm_poll_snapshot_clear(out);
    return fm_err_nomem(err);
}

void fm_poll_snapshot_clear(struct fm_poll_snapshot *snapshot)
{
    fm_arena_clear(&snapshot->arena);
    snapshot->targets = NULL;
    snapshot->files = NULL;
    snapshot->n = snapshot->n_files = 0;
}
