/* The spool's life: open, stop, free. */
#include "spool/spool.h"
#include "spool/aside_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/rows_priv.h"

enum {
    QUEUE_MAX = 16 * 1024 * 1024,
    FREE_MS = 2000,
    GIB = 1024 * 1024 * 1024,
    DEAD_MAX = 64 * 1024 * 1024,
    GROUP_BYTES = 1024 * 1024
};

void spool_set_limits(struct fm_spool_opts *to, const struct fm_spool_opts *from)
{
    to->max_size = from->max_size != 0 ? from->max_size : GIB;
    to->dead_max_size = from->dead_max_size != 0 ? from->dead_max_size : DEAD_MAX;
    to->max_age_ms = from->max_age_ms;
    to->on_full = from->on_full;
    to->commit_ms = from->commit_ms;
}

static enum fm_code copy_opts(struct fm_spool *sp, const struct fm_spool_opts *opts,
                              struct fm_err *err)
{
    sp->opts = *opts;
    sp->opts.path = sp->opts.agent = sp->opts.machine_id = sp->opts.control_socket = NULL;
    sp->opts.boot_id = NULL;
    boot_id(sp->boot, opts->boot_id);
    spool_set_limits(&sp->opts, opts);
    sp->opts.reserve = room_reserve(sp, opts->reserve);
    if (sp->opts.queue_max == 0)
        sp->opts.queue_max = QUEUE_MAX;
    if (sp->opts.group_bytes == 0)
        sp->opts.group_bytes = GROUP_BYTES;
    if (opts->agent != NULL) {
        if (strlen(opts->agent) >= sizeof sp->agent)
            return fm_err_set(err, FM_ELIMIT, "the agent's name is longer than %zu bytes",
                              sizeof sp->agent - 1);
        memcpy(sp->agent, opts->agent, strlen(opts->agent) + 1);
    }
    sp->dir = opts->path != NULL ? strdup(opts->path) : NULL;
    sp->control_socket = opts->control_socket != NULL ? strdup(opts->control_socket) : NULL;
    if ((opts->path != NULL && sp->dir == NULL) ||
        (opts->control_socket != NULL && sp->control_socket == NULL))
        return fm_err_nomem(err);
    size_t len = sp->dir != NULL ? strlen(sp->dir) : 0;
    while (len > 1 && sp->dir[len - 1] == '/')
        sp->dir[--len] = '\0';
    return FM_OK;
}

static void spool_delete(struct fm_spool *sp)
{
    store_close(sp->store, false);
    batches_release(sp);
    index_clear(sp);
    folder_close(sp);
    (void)pthread_mutex_destroy(&sp->lock);
    (void)pthread_cond_destroy(&sp->wake);
    (void)pthread_cond_destroy(&sp->done);
    free(sp->topics);
    free(sp->dir);
    free(sp->control_socket);
    free(sp);
}

/* The power failed while commits were not synced. @return whether that is settled, durably */
static bool end_after_cut(struct fm_spool *sp)
{
    struct fm_err err = {0};
    fm_log(sp->opts.log, FM_LOG_WARN,
           "spool: the power failed while sync = normal: the last records may be lost; new streams "
           "begin and say so");
    enum fm_code code = spool_end_streams(sp, &err);
    if (code == FM_OK && sp->changed)
        code = spool_commit(sp, &err);
    if (code == FM_OK)
        unsynced_clear(sp, true);
    return code == FM_OK;
}

/* Without the note about commits that are not synced they are: rather slow than wrong. */
static void note_sync(struct fm_spool *sp, bool full)
{
    struct fm_err err = {0};
    if (full) {
        unsynced_settle(sp); /* of a run before, in this boot */
        return;
    }
    if (unsynced_note(sp, &err) == FM_OK && store_sync(sp->store, false, &err) == FM_OK)
        sp->opts.sync_full = false;
    else
        fm_log(sp->opts.log, FM_LOG_WARN, "spool: every commit is synced: %s", fm_err_text(&err));
}

static enum fm_code open_disk(struct fm_spool *sp, const char *machine, struct fm_err *err)
{
    FM_TRY(folder_open(sp, err));
    aside_look(sp);
    bool lost = unsynced_lost(sp), full = sp->opts.sync_full;
    sp->opts.sync_full = true;
    FM_TRY(spool_open_store(sp, machine, err));
    if (!sp->opts.keep_damage && (!lost || end_after_cut(sp)))
        note_sync(sp, full);
    if (!sp->opts.keep_damage) {
        FM_TRY(owed_take(sp, err));
        owed_prepare(sp);
    }
    FM_TRY(store_set_wal(sp->store, room_wal(sp), err));
    reserve_rebuild(sp);
    if (!sp->opts.keep_damage && room_is_short(sp))
        room_run_out(sp);
    if (sp->on_tmpfs)
        fm_log(sp->opts.log, FM_LOG_WARN, "spool: %s lies in memory; a reboot loses it", sp->dir);
    store_sizes(sp->store, &sp->sizes);
    return FM_OK;
}

enum fm_code fm_spool_open(struct fm_spool **out, const struct fm_spool_opts *opts,
                           struct fm_err *err)
{
    struct fm_spool *sp = calloc(1, sizeof *sp);
    if (sp == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&sp->lock, NULL);
    fm_cond_init(&sp->wake);
    fm_cond_init(&sp->done);
    sp->lock_fd = sp->dir_fd = -1;
    sp->queue.tail = &sp->queue.head;
    sp->appends.tail = &sp->appends.head;
    sp->flushes.tail = &sp->flushes.head;
    sp->committed.tail = &sp->committed.head;
    sp->next_row = sp->next_dead = sp->next_stream = 1;
    sp->line_from_ms = fm_clock_ms();
    enum fm_code code = copy_opts(sp, opts, err);
    if (code == FM_OK && sp->dir != NULL)
        code = open_disk(sp, opts->machine_id, err);
    if (code == FM_OK) {
        spool_publish(sp);
        code = fm_thread_start(&sp->thread, "spool", spool_main, sp, err);
    }
    if (code != FM_OK) {
        spool_delete(sp);
        return code;
    }
    sp->running = true;
    *out = sp;
    return FM_OK;
}

void fm_spool_stop(struct fm_spool *sp)
{
    (void)pthread_mutex_lock(&sp->lock);
    sp->stopped = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_cond_signal(&sp->wake);
    (void)pthread_mutex_unlock(&sp->lock);
}

static void say_end(struct fm_log *log, const struct fm_spool_end *end)
{
    if (end->hung)
        fm_log(log, FM_LOG_ERROR, "spool: the disk does not answer; left as it is");
    else if (end->unstored > 0)
        fm_log(log, FM_LOG_ERROR,
               "spool: %llu records could not be stored: %s; %llu of them will be declared lost at "
               "the next start",
               (unsigned long long)end->unstored, end->error, (unsigned long long)end->owed);
}

void fm_spool_free(struct fm_spool *sp, unsigned timeout_ms)
{
    struct fm_spool_end end;
    struct fm_log *log = sp != NULL ? sp->opts.log : NULL;
    fm_spool_close(sp, timeout_ms, &end);
    say_end(log, &end);
}

void fm_spool_close(struct fm_spool *sp, unsigned timeout_ms, struct fm_spool_end *end)
{
    *end = (struct fm_spool_end){.pending = 0};
    if (sp == NULL)
        return;
    (void)pthread_mutex_lock(&sp->lock);
    sp->stopped = sp->closing = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_cond_signal(&sp->wake);
    int64_t until = fm_clock_ms() + (timeout_ms == 0 ? FREE_MS : timeout_ms);
    while (!sp->finished && (fm_cond_wait(&sp->done, &sp->lock, until) || fm_clock_ms() < until))
        continue;
    bool finished = sp->finished;
    (void)pthread_mutex_unlock(&sp->lock);
    if (!finished) {
        end->hung = true;
        (void)pthread_detach(sp->thread); /* it still uses the memory, which is given up */
        return;
    }
    (void)pthread_join(sp->thread, NULL);
    *end = sp->end;
    spool_delete(sp);
}
