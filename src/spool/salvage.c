/* Opening the store whatever the folder holds: damage is set aside into one dated folder, what can
 * still be read is taken over, and the rest is declared. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/aside_priv.h"
#include "spool/rows_priv.h"

/* Records of a row that cannot be read are lost. */
static enum fm_code sift_row(struct fm_spool *sp, struct row *row, bool exact, struct fm_err *err)
{
    struct fm_chunk *chunk = NULL;
    bool good = sp->old_store != NULL &&
                store_row_body(sp->old_store, row->id, &chunk, NULL) == FM_OK &&
                fm_chunk_count(chunk) == row->n &&
                strcmp(fm_chunk_topic(chunk), row->stream->topic->name) == 0;
    size_t at = 0;
    struct fm_record rec;
    enum fm_code code = FM_OK;
    uint32_t n = row->n;
    for (uint32_t i = 0; i < n && code == FM_OK; i++) {
        if ((good && fm_chunk_next(chunk, &at, &rec, NULL) == FM_OK) || row_is_gone(row, i))
            continue;
        bool last = row->n_gone + 1 == n;
        if (exact) {
            code = row_lose(sp, row, i, 1, FM_GAP_DAMAGE, err);
        } else {
            row->stream->lost++;
            row_take(sp, row, i, 1);
        }
        if (last)
            break;
    }
    fm_chunk_free(chunk);
    return code;
}

/* Everything in memory is to be written into a new database, in one transaction as large as the
 * spool: its memory must not be. */
static enum fm_code write_anew(struct fm_spool *sp, bool exact, struct fm_err *err)
{
    struct row *next;
    if (sp->old_store != NULL)
        FM_TRY(store_spill(sp->store, true, err));
    for (struct row *row = sp->head; row != NULL; row = next) {
        next = row->next;
        if (row->loaded == NULL)
            FM_TRY(sift_row(sp, row, exact, err));
        if (row->out)
            continue;
        if (row->stored && row->loaded != NULL && sp->dir != NULL)
            sp->cached -= fm_chunk_bytes(row->loaded->chunk);
        row->stored = false;
        row_dirty(sp, row);
    }
    for (struct dead *d = sp->dead_head, *after; d != NULL; d = after) {
        after = d->next;
        struct fm_chunk *chunk = NULL;
        if (d->loaded == NULL && sp->old_store != NULL &&
            store_dead_body(sp->old_store, d->id, &chunk, &d->reason, NULL) == FM_OK)
            d->loaded = loaded_new(chunk);
        if (d->loaded == NULL) {
            fm_chunk_free(chunk);
            d->stream->dead--;
            d->stream->lost++;
            dead_unlink(sp, d);
            continue;
        }
        d->stored = false;
        dead_dirty(sp, d);
    }
    for (size_t i = 0; i < sp->n_streams; i++)
        sp->streams[i]->dirty = true;
    sp->changed = true;
    sp->resync = false;
    return FM_OK;
}

/* The counters of a stream that was salvaged: what is not there any more was lost. */
static void balance(struct fm_spool *sp, struct stream *s)
{
    uint64_t dead = 0;
    for (const struct dead *d = sp->dead_head; d != NULL; d = d->next)
        dead += d->stream == s;
    s->dead = dead;
    uint64_t there = s->delivered + s->pending + s->lost + s->dead;
    if (there < s->delivered || there > s->assigned)
        s->assigned = there; /* the counters themselves are not to be trusted */
    else
        s->lost += s->assigned - there;
    s->unknown = s->ended = s->dirty = true;
}

enum fm_code spool_end_streams(struct fm_spool *sp, struct fm_err *err)
{
    for (size_t i = 0, n = sp->n_streams; i < n; i++) {
        struct stream *s = sp->streams[i];
        if (s->ended)
            continue;
        s->unknown = s->ended = s->dirty = true;
        sp->last_damage_ms = fm_clock_ms();
        FM_TRY(loss_add(sp, s, -1, -1, -1, FM_GAP_DAMAGE, 0, err));
    }
    return FM_OK;
}

/* Whose spool this is: the machine, and the file itself. A copy or a backup put back has another
 * file, and must not give a number a second time. */
static void identify(struct fm_spool *sp, const char *machine)
{
    struct stat info;
    machine_id(sp->machine, machine);
    size_t len = strlen(sp->machine);
    if (len > MACHINE_SIZE - 20)
        len = MACHINE_SIZE - 20;
    if (fstatat(sp->dir_fd, "spool.db", &info, AT_SYMLINK_NOFOLLOW) == 0)
        (void)snprintf(sp->machine + len, sizeof sp->machine - len, ":%llx",
                       (unsigned long long)info.st_ino);
}

static enum fm_code salvage(struct fm_spool *sp, const char *machine, struct fm_err *err)
{
    char aside[PATH_MAX];
    bool fresh = false, ignored;
    struct fm_err why = *err;
    if (sp->mending[0] != '\0')
        FM_TRY(aside_path(sp, aside, sizeof aside, err));
    else
        FM_TRY(set_aside(sp, aside, sizeof aside, err));
    sp->last_damage_ms = fm_clock_ms();
    fm_log(sp->opts.log, FM_LOG_ERROR,
           "spool: %s; set aside in %s: what can be read there is sent, the rest is declared lost; "
           "remove the folder when nobody needs it any more",
           fm_err_text(&why), sp->damage);
    index_clear(sp);
    sp->next_row = sp->next_dead = sp->next_stream = 1;
    if (store_open(&sp->old_store, aside, false, &fresh, NULL) == FM_OK) {
        if (store_load(sp->old_store, sp, true, &ignored, err) == FM_ENOMEM)
            return FM_ENOMEM;
    }
    FM_TRY(identity_read(sp, &ignored, err));
    FM_TRY(store_open(&sp->store, sp->dir, sp->opts.sync_full, &fresh, err));
    identify(sp, machine);
    FM_TRY(write_anew(sp, false, err));
    for (size_t i = 0; i < sp->n_streams; i++) {
        struct stream *s = sp->streams[i];
        bool was_current = !s->ended || s->topic->current == s || s->topic->current == NULL;
        balance(sp, s);
        if (was_current) {
            s->topic->current = s;
            FM_TRY(loss_add(sp, s, -1, -1, -1, FM_GAP_DAMAGE, 0, err));
        }
    }
    return spool_commit(sp, err);
}

/* Mending writes what can be read anew. Begun without room it would end with an empty database, and
 * the next start would take that for the loss of everything. */
static enum fm_code room_to_mend(struct fm_spool *sp, const struct fm_err *why, struct fm_err *err)
{
    uint64_t need = folder_bytes(sp->dir_fd) + aside_bytes(sp) + (1 << 20);
    for (int tries = 0; tries < 2; tries++) {
        struct statvfs fs;
        if (fstatvfs(sp->dir_fd, &fs) != 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= need)
            return FM_OK;
        reserve_give_up(sp);
    }
    return fm_err_set(err, FM_ESYS, "%s, and there is no room to mend it: free %llu MiB at %s",
                      fm_err_text(why), (unsigned long long)(need >> 20) + 1, sp->dir);
}

enum fm_code spool_open_store(struct fm_spool *sp, const char *machine, struct fm_err *err)
{
    struct stat info;
    struct fm_err why = {0};
    bool there = fstatat(sp->dir_fd, "spool.db", &info, AT_SYMLINK_NOFOLLOW) == 0;
    bool half = aside_unfinished(sp);
    if (half && !there && !sp->opts.keep_damage)
        aside_gather(sp);
    bool fresh = false, complete = true, known = false, torn = there && wal_is_damaged(sp);
    enum fm_code code;
    if (torn)
        code = fm_err_set(&why, FM_EDAMAGE, "%s/spool.db-wal is damaged", sp->dir);
    else
        code = store_open(&sp->store, sp->dir, sp->opts.sync_full, &fresh, &why);
    if (code == FM_OK && !fresh)
        code = store_load(sp->store, sp, false, &complete, &why);
    if (half && code == FM_OK && sp->n_streams == 0) {
        code = fm_err_set(&why, FM_EDAMAGE, "%s was being mended when the process ended", sp->dir);
    } else if (half && !sp->opts.keep_damage && (code == FM_OK || code == FM_EDAMAGE)) {
        aside_done(sp); /* only that was missing */
    }
    if (code == FM_OK && fresh) {
        FM_TRY(identity_read(sp, &known, err));
        if (known)
            code = fm_err_set(&why, FM_EDAMAGE, "%s/spool.db is missing or empty", sp->dir);
    }
    if (code == FM_OK) {
        identify(sp, machine);
        (void)fsync(sp->dir_fd);
        /* What a killed transaction left in the log goes, lest frames written over it mingle. */
        if (!fresh && !sp->opts.keep_damage &&
            store_checkpoint(sp->store, room_is_short(sp) ? CHECKPOINT_NOW : CHECKPOINT_CUT,
                             &why) != FM_OK)
            fm_log(sp->opts.log, FM_LOG_WARN, "spool: %s", fm_err_text(&why));
        return FM_OK;
    }
    if (code != FM_EDAMAGE) {
        if (err != NULL)
            *err = why;
        return code;
    }
    store_close(sp->store, false);
    sp->store = NULL;
    if (sp->opts.keep_damage)
        return fm_err_set(err, FM_EDAMAGE,
                          "%s; the agent sets it aside and saves what can be read when it "
                          "starts (firstmile run)",
                          fm_err_text(&why));
    FM_TRY(room_to_mend(sp, &why, err));
    code = salvage(sp, machine, &why);
    store_close(sp->old_store, false);
    sp->old_store = NULL;
    if (code != FM_OK && err != NULL)
        *err = why;
    return code;
}

enum fm_code spool_reopen_store(struct fm_spool *sp, bool is_damaged, struct fm_err *err)
{
    char aside[PATH_MAX];
    bool fresh = false;
    if (!is_damaged) {
        /* After a failed sync the kernel may have forgotten what it said was written. */
        store_close(sp->store, false);
        sp->store = NULL;
        enum fm_code code = store_open(&sp->store, sp->dir, sp->opts.sync_full, &fresh, err);
        if (code == FM_OK)
            code = fresh ? FM_EDAMAGE : store_check(sp->store, err);
        if (code == FM_OK)
            return FM_OK;
        if (code != FM_EDAMAGE) {
            store_close(sp->store, false);
            sp->store = NULL;
            return code;
        }
    }
    store_close(sp->store, false);
    sp->store = NULL;
    if (sp->mending[0] != '\0') { /* the new one, before all was taken over into it */
        aside_drop_new(sp);
        FM_TRY(store_open(&sp->store, sp->dir, sp->opts.sync_full, &fresh, err));
        return write_anew(sp, true, err);
    }
    FM_TRY(set_aside(sp, aside, sizeof aside, err));
    fm_log(sp->opts.log, FM_LOG_ERROR,
           "spool: %s/spool.db was damaged while running; set aside in %s: a new one is written, "
           "and what cannot be read is declared lost; remove the folder when nobody needs it any "
           "more",
           sp->dir, sp->damage);
    if (store_open(&sp->old_store, aside, false, &fresh, NULL) != FM_OK)
        sp->old_store = NULL;
    FM_TRY(store_open(&sp->store, sp->dir, sp->opts.sync_full, &fresh, err));
    char before[MACHINE_SIZE];
    memcpy(before, sp->machine, sizeof before);
    sp->machine[strcspn(sp->machine, ":")] = '\0';
    (void)snprintf(aside, MACHINE_SIZE, "%s", sp->machine);
    identify(sp, aside);
    for (size_t i = 0; i < sp->n_streams; i++) { /* the streams go on: their numbers are known */
        if (strcmp(sp->streams[i]->machine, before) == 0)
            memcpy(sp->streams[i]->machine, sp->machine, sizeof sp->machine);
    }
    return write_anew(sp, true, err);
}
