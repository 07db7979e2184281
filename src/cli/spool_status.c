/* cli/spool_status.c - `spool status`: totals, and the accounting of each stream */
#include <string.h>

#include "base/clock.h"
#include "cli/cmd_spool_priv.h"

static const struct fm_column stream_columns[] = {
    {.name = "stream"},
    {.name = "topic", .flex = true},
    {.name = "current"},
    {.name = "assigned", .right = true},
    {.name = "delivered", .right = true},
    {.name = "pending", .right = true},
    {.name = "lost", .right = true},
    {.name = "dead", .right = true},
};

/* The members of "streams":{ID:{...}} as rows. */
static bool add_streams(struct fm_jscan *s, struct fm_table *table, struct fm_arena *arena,
                        unsigned *unknown)
{
    enum { PENDING = 2, NUMBERS = 5 };
    static const char *const names[NUMBERS] = {"assigned", "delivered", "pending", "lost", "dead"};
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        int64_t numbers[NUMBERS] = {0};
        const char *topic = "";
        bool current = false, is_unknown = false;
        const char *id = fm_spool_text(arena, s);
        if (fm_jscan_next(s) != FM_J_OBJECT)
            return false;
        while ((token = fm_jscan_next(s)) == FM_J_KEY) {
            struct fm_jscan key = *s;
            enum fm_jtoken value = fm_jscan_next(s);
            for (size_t i = 0; value == FM_J_NUMBER && i < NUMBERS; i++)
                if (fm_jscan_is(&key, names[i]))
                    (void)fm_jscan_i64(s, &numbers[i]);
            if (value == FM_J_STRING && fm_jscan_is(&key, "topic"))
                topic = fm_spool_text(arena, s);
            if (value == FM_J_TRUE && fm_jscan_is(&key, "current"))
                current = true;
            if (value == FM_J_TRUE && fm_jscan_is(&key, "unknown"))
                is_unknown = true;
            if (!fm_jscan_skip(s, value))
                return false;
        }
        fm_table_text(table, id);
        fm_table_text(table, topic);
        fm_table_bool(table, current);
        *unknown += is_unknown;
        for (size_t i = 0; i < NUMBERS; i++) {
            /* Of a stream whose database could not be read only this is known: nothing waits. */
            if (is_unknown && numbers[0] == 0 && i != PENDING)
                fm_table_text(table, "?");
            else
                fm_table_int(table, numbers[i]);
        }
    }
    return token == FM_J_OBJECT_END;
}

struct totals {
    int64_t records, bytes, disk_bytes, oldest_ms, dead_records, lost, queue_records;
    int64_t disk_free, disk_needed; /* 0: not told, or the disk is not full */
    bool durable, disk_full;
    unsigned unknown; /* streams */
    const char *error, *damage;
};

static bool read_status(struct fm_spool_work *w, struct totals *t, struct fm_table *table)
{
    struct fm_arena *arena = &w->call->cli->arena;
    struct {
        const char *name;
        int64_t *place;
    } numbers[] = {{"records", &t->records},
                   {"bytes", &t->bytes},
                   {"disk_bytes", &t->disk_bytes},
                   {"oldest_ms", &t->oldest_ms},
                   {"lost", &t->lost},
                   {"dead_records", &t->dead_records},
                   {"queue_records", &t->queue_records},
                   {"disk_free", &t->disk_free},
                   {"disk_needed", &t->disk_needed}};
    struct fm_jscan s;
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    enum fm_jtoken token;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        struct fm_jscan key = s;
        enum fm_jtoken value = fm_jscan_next(&s);
        if (value == FM_J_OBJECT && fm_jscan_is(&key, "streams")) {
            if (!add_streams(&s, table, arena, &t->unknown))
                return false;
            continue;
        }
        for (size_t i = 0; value == FM_J_NUMBER && i < sizeof numbers / sizeof numbers[0]; i++)
            if (fm_jscan_is(&key, numbers[i].name))
                (void)fm_jscan_i64(&s, numbers[i].place);
        if (value == FM_J_TRUE && fm_jscan_is(&key, "durable"))
            t->durable = true;
        if (value == FM_J_TRUE && fm_jscan_is(&key, "disk_full"))
            t->disk_full = true;
        if (value == FM_J_STRING && fm_jscan_is(&key, "damage"))
            t->damage = fm_spool_text(arena, &s);
        if (value == FM_J_STRING && fm_jscan_is(&key, "error"))
            t->error = fm_spool_text(arena, &s);
        if (!fm_jscan_skip(&s, value))
            return false;
    }
    return token == FM_J_OBJECT_END;
}

static void print_disk_full(const struct totals *t)
{
    char needed[32], left[32];
    fm_text_size(needed, sizeof needed, (uint64_t)t->disk_needed);
    fm_text_size(left, sizeof left, (uint64_t)t->disk_free);
    if (t->disk_needed > 0)
        (void)printf("the disk is full: %s must be free there, %s are; until then new records take "
                     "the room that delivered ones leave\n",
                     needed, left);
    else
        (void)printf("the disk is full: new records take the room that delivered ones leave\n");
}

static void print_totals(const struct fm_spool_work *w, const struct totals *t)
{
    char size[32], disk[32], age[32];
    fm_text_size(size, sizeof size, (uint64_t)t->bytes);
    fm_text_size(disk, sizeof disk, (uint64_t)t->disk_bytes);
    fm_text_age(age, sizeof age, fm_wall_ms() - t->oldest_ms);
    (void)printf("%lld record%s pending (%s, %s on disk)", (long long)t->records,
                 fm_plural((uint64_t)t->records), size, disk);
    if (t->oldest_ms > 0)
        (void)printf(", the oldest %s%s", strcmp(age, "now") == 0 ? "from just " : "", age);
    if (t->oldest_ms > 0 && strcmp(age, "now") != 0)
        (void)printf(" old");
    (void)printf("; %lld lost, %lld dead letter%s; %s; ", (long long)t->lost,
                 (long long)t->dead_records, fm_plural((uint64_t)t->dead_records),
                 t->durable ? "durable" : "not durable");
    if (w->store.spool != NULL)
        (void)printf("no agent runs\n");
    else if (w->store.pid > 0)
        (void)printf("held by process %d\n", w->store.pid);
    else
        (void)printf("held by the agent\n");
    if (t->error != NULL && t->queue_records > 0)
        (void)printf("%lld record%s in memory, not yet on disk: %s\n", (long long)t->queue_records,
                     t->queue_records == 1 ? " waits" : "s wait", t->error);
    else if (t->error != NULL)
        (void)printf("the last commit failed and is tried again: %s\n", t->error);
    else if (t->disk_full)
        print_disk_full(t);
    if (t->unknown > 0)
        (void)printf("damage: how far %u of the streams had come is not known; what could not be "
                     "read is declared lost\n",
                     t->unknown);
    if (t->damage != NULL)
        (void)printf("damaged files lie in %s; remove the folder when nobody needs it any more\n",
                     t->damage);
}

enum fm_code fm_spool_print_status(struct fm_spool_work *w, struct fm_err *err)
{
    struct fm_buf request;
    struct totals totals = {.records = 0};
    struct fm_table table;
    struct fm_cli *cli = w->call->cli;
    fm_buf_init(&request, 0);
    fm_spool_put_request(&request, w, "spool.status", 0, NULL);
    FM_TRY(fm_spool_ask(w, &request, err));
    if (cli->global.json) {
        (void)fwrite(w->answer.data, 1, w->answer.len, stdout);
        return FM_OK;
    }
    fm_table_init(&table, stream_columns, sizeof stream_columns / sizeof stream_columns[0],
                  &cli->arena);
    enum fm_code code = FM_OK;
    if (!read_status(w, &totals, &table)) {
        code = fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    } else {
        const struct fm_table_style style = fm_cmd_style(cli);
        print_totals(w, &totals);
        code = fm_table_print(&table, stdout, &style, err);
    }
    fm_table_clear(&table);
    return code;
}
