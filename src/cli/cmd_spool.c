/* cli/cmd_spool.c - `spool status|list|export|drop|dead list|dead show|dead retry` */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jscan.h"
#include "base/json.h"
#include "cli/store.h"

struct spool_opts {
    const char *dir;
    const char *topic;
    uint64_t limit;
    int64_t older_ms;
    bool all;
};

enum { LIST_LIMIT = 1000 };

/** A command at work: the store and the answer read last. */
struct work {
    struct fm_cmd_call *call;
    const struct spool_opts *opts;
    struct fm_config *config;
    struct fm_store store;
    struct fm_buf answer;
};

/** One record of a page; texts in the answer, still escaped, or in the arena. */
struct row {
    const char *stream, *topic, *key, *reason;
    uint64_t seq;
    int64_t time_ms, dead_ms, bytes;
    bool control;
};

/* ---- requests ---- */

struct position {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
};

static void put_request(struct fm_buf *out, const struct work *w, const char *cmd, uint64_t limit,
                        const struct position *after)
{
    fm_buf_printf(out, "{\"cmd\":\"%s\",\"limit\":%llu", cmd, (unsigned long long)limit);
    if (w->opts->topic != NULL) {
        fm_buf_puts(out, ",\"topic\":");
        fm_json_cstr(out, w->opts->topic);
    }
    if (w->opts->older_ms > 0)
        fm_buf_printf(out, ",\"before_ms\":%lld", (long long)(fm_wall_ms() - w->opts->older_ms));
    if (after != NULL)
        fm_buf_printf(out, ",\"after_stream\":\"%s\",\"after_seq\":%llu", after->stream,
                      (unsigned long long)after->seq);
}

static enum fm_code ask(struct work *w, struct fm_buf *request, struct fm_err *err)
{
    fm_buf_putc(request, '}');
    enum fm_code code = fm_buf_code(request, err);
    if (code == FM_OK)
        code = fm_store_ask(&w->store, fm_buf_str(request), &w->answer, err);
    fm_buf_clear(request);
    return code;
}

/* ---- answers ---- */

static const char *keep_text(struct fm_arena *arena, const struct fm_jscan *s)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_jscan_string(s, &text);
    const char *kept = fm_arena_strndup(arena, text.data, text.len);
    fm_buf_clear(&text);
    return kept != NULL ? kept : "";
}

/* The fields of a record; the scanner stands behind its opening brace. */
static bool read_row(struct fm_jscan *s, struct row *row, struct fm_arena *arena)
{
    *row = (struct row){.stream = ""};
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        struct fm_jscan key = *s;
        enum fm_jtoken value = fm_jscan_next(s);
        const char **text = fm_jscan_is(&key, "stream")   ? &row->stream
                            : fm_jscan_is(&key, "topic")  ? &row->topic
                            : fm_jscan_is(&key, "key")    ? &row->key
                            : fm_jscan_is(&key, "reason") ? &row->reason
                                                          : NULL;
        int64_t *number = fm_jscan_is(&key, "time_ms")   ? &row->time_ms
                          : fm_jscan_is(&key, "dead_ms") ? &row->dead_ms
                          : fm_jscan_is(&key, "bytes")   ? &row->bytes
                                                         : NULL;
        int64_t seq = 0;
        if (text != NULL && value == FM_J_STRING)
            *text = keep_text(arena, s);
        else if (number != NULL && value == FM_J_NUMBER)
            (void)fm_jscan_i64(s, number);
        else if (value == FM_J_NUMBER && fm_jscan_is(&key, "seq") && fm_jscan_i64(s, &seq))
            row->seq = (uint64_t)seq;
        else if (value == FM_J_TRUE && fm_jscan_is(&key, "control"))
            row->control = true;
        if (!fm_jscan_skip(s, value))
            return false;
    }
    return token == FM_J_OBJECT_END;
}

/** Called for each record; raw is the object as it came. */
typedef void row_fn(struct work *w, const struct row *row, const char *raw, size_t len, void *arg);

struct page {
    uint64_t n;
    bool more;
    struct position last;
};

static enum fm_code read_page(struct work *w, struct page *page, row_fn *fn, void *arg,
                              struct fm_arena *arena, struct fm_err *err)
{
    struct fm_jscan s;
    struct row row;
    *page = (struct page){.n = 0};
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    bool good = fm_jscan_next(&s) == FM_J_OBJECT && fm_jscan_next(&s) == FM_J_KEY &&
                fm_jscan_is(&s, "records") && fm_jscan_next(&s) == FM_J_ARRAY;
    enum fm_jtoken token = FM_J_ERROR;
    while (good && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        size_t start = s.at - 1;
        good = read_row(&s, &row, arena);
        if (!good)
            break;
        fn(w, &row, w->answer.data + start, s.at - start, arg);
        (void)snprintf(page->last.stream, sizeof page->last.stream, "%s", row.stream);
        page->last.seq = row.seq;
        page->n++;
    }
    good =
        good && token == FM_J_ARRAY_END && fm_jscan_next(&s) == FM_J_KEY && fm_jscan_is(&s, "more");
    if (!good)
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    page->more = fm_jscan_next(&s) == FM_J_TRUE;
    return FM_OK;
}

/* Page after page, until limit records (0: all). *cut: there are more. */
static enum fm_code walk(struct work *w, const char *cmd, uint64_t limit, row_fn *fn, void *arg,
                         bool *cut, struct fm_err *err)
{
    struct page page = {.n = 0};
    uint64_t seen = 0;
    do {
        struct fm_buf request;
        struct fm_arena arena;
        fm_buf_init(&request, 0);
        fm_arena_init(&arena, 0);
        put_request(&request, w, cmd, limit > 0 ? limit + 1 - seen : 0,
                    seen > 0 ? &page.last : NULL);
        FM_TRY(ask(w, &request, err));
        enum fm_code code = read_page(w, &page, fn, arg, &arena, err);
        fm_arena_clear(&arena);
        FM_TRY(code);
        seen += page.n;
    } while (page.more && page.n > 0 && (limit == 0 || seen <= limit));
    *cut = limit > 0 && seen > limit;
    return FM_OK;
}

/* ---- the actions ---- */

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
static bool add_streams(struct fm_jscan *s, struct fm_table *table, struct fm_arena *arena)
{
    enum { NUMBERS = 5 };
    static const char *const names[NUMBERS] = {"assigned", "delivered", "pending", "lost", "dead"};
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        int64_t numbers[NUMBERS] = {0};
        const char *topic = "";
        bool current = false;
        const char *id = keep_text(arena, s);
        if (fm_jscan_next(s) != FM_J_OBJECT)
            return false;
        while ((token = fm_jscan_next(s)) == FM_J_KEY) {
            struct fm_jscan key = *s;
            enum fm_jtoken value = fm_jscan_next(s);
            for (size_t i = 0; value == FM_J_NUMBER && i < NUMBERS; i++)
                if (fm_jscan_is(&key, names[i]))
                    (void)fm_jscan_i64(s, &numbers[i]);
            if (value == FM_J_STRING && fm_jscan_is(&key, "topic"))
                topic = keep_text(arena, s);
            if (value == FM_J_TRUE && fm_jscan_is(&key, "current"))
                current = true;
            if (!fm_jscan_skip(s, value))
                return false;
        }
        fm_table_text(table, id);
        fm_table_text(table, topic);
        fm_table_bool(table, current);
        for (size_t i = 0; i < NUMBERS; i++)
            fm_table_int(table, numbers[i]);
    }
    return token == FM_J_OBJECT_END;
}

struct totals {
    int64_t records, bytes, disk_bytes, oldest_ms, dead_records, lost;
    bool durable;
    const char *error;
};

static bool read_status(struct work *w, struct totals *t, struct fm_table *table)
{
    struct fm_arena *arena = &w->call->cli->arena;
    struct {
        const char *name;
        int64_t *place;
    } numbers[] = {
        {"records", &t->records},     {"bytes", &t->bytes}, {"disk_bytes", &t->disk_bytes},
        {"oldest_ms", &t->oldest_ms}, {"lost", &t->lost},   {"dead_records", &t->dead_records}};
    struct fm_jscan s;
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    enum fm_jtoken token;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        struct fm_jscan key = s;
        enum fm_jtoken value = fm_jscan_next(&s);
        if (value == FM_J_OBJECT && fm_jscan_is(&key, "streams")) {
            if (!add_streams(&s, table, arena))
                return false;
            continue;
        }
        for (size_t i = 0; value == FM_J_NUMBER && i < sizeof numbers / sizeof numbers[0]; i++)
            if (fm_jscan_is(&key, numbers[i].name))
                (void)fm_jscan_i64(&s, numbers[i].place);
        if (value == FM_J_TRUE && fm_jscan_is(&key, "durable"))
            t->durable = true;
        if (value == FM_J_STRING && fm_jscan_is(&key, "error"))
            t->error = keep_text(arena, &s);
        if (!fm_jscan_skip(&s, value))
            return false;
    }
    return token == FM_J_OBJECT_END;
}

static void print_totals(const struct work *w, const struct totals *t)
{
    char size[32], disk[32], age[32];
    fm_text_size(size, sizeof size, (uint64_t)t->bytes);
    fm_text_size(disk, sizeof disk, (uint64_t)t->disk_bytes);
    fm_text_age(age, sizeof age, fm_wall_ms() - t->oldest_ms);
    (void)printf("%lld records pending (%s, %s on disk)", (long long)t->records, size, disk);
    if (t->oldest_ms > 0)
        (void)printf(", the oldest %s%s", strcmp(age, "now") == 0 ? "from just " : "", age);
    if (t->oldest_ms > 0 && strcmp(age, "now") != 0)
        (void)printf(" old");
    (void)printf("; %lld lost, %lld dead letters; %s; ", (long long)t->lost,
                 (long long)t->dead_records, t->durable ? "durable" : "not durable");
    if (w->store.spool != NULL)
        (void)printf("no agent runs\n");
    else if (w->store.pid > 0)
        (void)printf("held by process %d\n", w->store.pid);
    else
        (void)printf("held by the agent\n");
    if (t->error != NULL)
        (void)printf("the last commit failed: %s\n", t->error);
}

static enum fm_code status(struct work *w, struct fm_err *err)
{
    struct fm_buf request;
    struct totals totals = {.records = 0};
    struct fm_table table;
    struct fm_cli *cli = w->call->cli;
    fm_buf_init(&request, 0);
    put_request(&request, w, "spool.status", 0, NULL);
    FM_TRY(ask(w, &request, err));
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

static const struct fm_column list_columns[] = {
    {.name = "stream"},
    {.name = "seq", .right = true},
    {.name = "topic", .flex = true},
    {.name = "time"},
    {.name = "bytes", .right = true},
    {.name = "control"},
    {.name = "key", .flex = true},
};
static const struct fm_column dead_columns[] = {
    {.name = "stream"}, {.name = "seq", .right = true},   {.name = "topic", .flex = true},
    {.name = "buried"}, {.name = "bytes", .right = true}, {.name = "reason", .wrap = true},
};

static void add_row(struct work *w, const struct row *row, const char *raw, size_t len, void *arg)
{
    struct fm_table *table = arg;
    char stamp[32];
    bool dead = table->columns == dead_columns;
    (void)w;
    (void)raw;
    (void)len;
    fm_wall_text(dead ? row->dead_ms : row->time_ms, stamp);
    fm_table_text(table, row->stream);
    fm_table_int(table, (int64_t)row->seq);
    fm_table_text(table, row->topic);
    fm_table_text(table, stamp);
    fm_table_int(table, row->bytes);
    if (!dead)
        fm_table_bool(table, row->control);
    fm_table_text(table, dead ? row->reason : row->key);
}

static enum fm_code list(struct work *w, bool dead, struct fm_err *err)
{
    struct fm_table table;
    struct fm_cli *cli = w->call->cli;
    uint64_t limit = w->opts->all ? 0 : w->opts->limit > 0 ? w->opts->limit : LIST_LIMIT;
    bool cut = false;
    if (dead)
        fm_table_init(&table, dead_columns, sizeof dead_columns / sizeof dead_columns[0],
                      &cli->arena);
    else
        fm_table_init(&table, list_columns, sizeof list_columns / sizeof list_columns[0],
                      &cli->arena);
    enum fm_code code =
        walk(w, dead ? "spool.dead.list" : "spool.list", limit, add_row, &table, &cut, err);
    if (cut && !table.failed)
        table.n_cells -= table.n_columns; /* the one too many, which told that there are more */
    if (code == FM_OK) {
        const struct fm_table_style style = fm_cmd_style(cli);
        code = fm_table_print(&table, stdout, &style, err);
    }
    fm_table_clear(&table);
    if (code == FM_OK && cut && w->opts->limit == 0)
        fm_cmd_note(cli, "only the first %llu are shown; --limit N shows more, --all shows all",
                    (unsigned long long)limit);
    return code;
}

static enum fm_code list_pending(struct work *w, struct fm_err *err)
{
    return list(w, false, err);
}

static enum fm_code list_dead(struct work *w, struct fm_err *err)
{
    return list(w, true, err);
}

struct export_state {
    uint64_t left; /* records still to be printed */
};

static void export_row(struct work *w, const struct row *row, const char *raw, size_t len,
                       void *arg)
{
    struct export_state *state = arg;
    (void)w;
    (void)row;
    if (state->left == 0)
        return;
    state->left--;
    (void)fwrite(raw, 1, len, stdout);
    (void)fputc('\n', stdout);
}

static enum fm_code export_all(struct work *w, struct fm_err *err)
{
    struct export_state state = {w->opts->limit > 0 ? w->opts->limit : UINT64_MAX};
    bool cut;
    return walk(w, "spool.export", w->opts->limit, export_row, &state, &cut, err);
}

static enum fm_code read_count(struct work *w, const char *name, struct fm_err *err)
{
    struct fm_jscan s;
    int64_t n = 0;
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    if (fm_jscan_next(&s) != FM_J_OBJECT || fm_jscan_next(&s) != FM_J_KEY ||
        !fm_jscan_is(&s, name) || fm_jscan_next(&s) != FM_J_NUMBER || !fm_jscan_i64(&s, &n))
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    if (w->call->cli->global.json)
        (void)printf("{\"%s\":%lld}\n", name, (long long)n);
    else
        (void)printf("%lld records %s\n", (long long)n, name);
    return FM_OK;
}

static enum fm_code drop(struct work *w, struct fm_err *err)
{
    const struct spool_opts *o = w->opts;
    if (!o->all && o->topic == NULL && o->older_ms == 0 && o->limit == 0)
        return fm_err_set(err, FM_EUSAGE,
                          "spool drop: say which records: --topic, --older, "
                          "--limit, or --all of them");
    struct fm_buf request;
    fm_buf_init(&request, 0);
    put_request(&request, w, "spool.drop", o->limit, NULL);
    FM_TRY(ask(w, &request, err));
    return read_count(w, "dropped", err);
}

static enum fm_code parse_id(const char *text, struct position *out, struct fm_err *err)
{
    const char *colon = strchr(text, ':');
    char *end = NULL;
    bool good = colon != NULL && colon - text == FM_STREAM_LEN &&
                strspn(text, "0123456789abcdef") == FM_STREAM_LEN && colon[1] >= '0' &&
                colon[1] <= '9';
    if (good)
        out->seq = strtoull(colon + 1, &end, 10);
    if (!good || *end != '\0')
        return fm_err_set(err, FM_EUSAGE,
                          "\"%.60s\" is no STREAM:SEQ, such as 3f9c2a71d04be811:4711; "
                          "firstmile spool dead list shows them",
                          text);
    memcpy(out->stream, text, FM_STREAM_LEN);
    out->stream[FM_STREAM_LEN] = '\0';
    return FM_OK;
}

static void put_id(struct fm_buf *request, const struct position *id)
{
    fm_buf_printf(request, ",\"id\":{\"stream\":\"%s\",\"seq\":%llu}", id->stream,
                  (unsigned long long)id->seq);
}

static enum fm_code show_dead(struct work *w, struct fm_err *err)
{
    struct position id = {.seq = 0};
    struct fm_buf request;
    FM_TRY(parse_id(w->call->words.items[0], &id, err));
    fm_buf_init(&request, 0);
    put_request(&request, w, "spool.dead.show", 0, NULL);
    put_id(&request, &id);
    FM_TRY(ask(w, &request, err));
    (void)fwrite(w->answer.data, 1, w->answer.len, stdout);
    return FM_OK;
}

static enum fm_code retry_dead(struct work *w, struct fm_err *err)
{
    struct position id = {.seq = 0};
    struct fm_buf request;
    bool one = w->call->words.n > 0;
    if (one)
        FM_TRY(parse_id(w->call->words.items[0], &id, err));
    else if (!w->opts->all && w->opts->topic == NULL && w->opts->limit == 0)
        return fm_err_set(err, FM_EUSAGE,
                          "spool dead retry: say which: STREAM:SEQ, --topic, "
                          "--limit, or --all of them");
    fm_buf_init(&request, 0);
    put_request(&request, w, "spool.dead.retry", w->opts->limit, NULL);
    if (one)
        put_id(&request, &id);
    FM_TRY(ask(w, &request, err));
    return read_count(w, "retried", err);
}

/* ---- around them ---- */

static enum fm_code with_store(struct fm_cmd_call *call,
                               enum fm_code (*action)(struct work *w, struct fm_err *err),
                               struct fm_err *err)
{
    struct work w = {.call = call, .opts = call->opts};
    FM_TRY(fm_config_load(&w.config, fm_config_find(call->cli->global.config),
                          &(struct fm_config_opts){.overrides = call->cli->global.overrides.items,
                                                   .n_overrides = call->cli->global.overrides.n},
                          err));
    fm_buf_init(&w.answer, 0);
    enum fm_code code = fm_store_open(&w.store, call->cli, w.config, w.opts->dir, err);
    if (code == FM_OK)
        code = action(&w, err);
    fm_store_close(&w.store);
    fm_buf_clear(&w.answer);
    fm_config_free(w.config);
    return code;
}

static enum fm_code run_status(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, status, err);
}

static enum fm_code run_list(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, list_pending, err);
}

static enum fm_code run_export(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, export_all, err);
}

static enum fm_code run_drop(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, drop, err);
}

static enum fm_code run_dead_list(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, list_dead, err);
}

static enum fm_code run_dead_show(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, show_dead, err);
}

static enum fm_code run_dead_retry(struct fm_cmd_call *call, struct fm_err *err)
{
    return with_store(call, retry_dead, err);
}

static const struct fm_action actions[] = {
    {"status", "", "Totals, and the accounting of each stream.", 0, 0, run_status},
    {"list", "", "Records that wait to be sent, the oldest first.", 0, 0, run_list},
    {"export", "", "The same with their values, a JSON object per line.", 0, 0, run_export},
    {"drop", "", "Drop waiting records; the loss is declared in the topic.", 0, 0, run_drop},
    {"dead list", "", "Records that the proxy refused for good, and why.", 0, 0, run_dead_list},
    {"dead show", "STREAM:SEQ", "One of them, whole.", 1, 1, run_dead_show},
    {"dead retry", "[STREAM:SEQ]", "Send one, or all that the options name, once more.", 0, 1,
     run_dead_retry},
    {.name = NULL},
};
#define AT(field) offsetof(struct spool_opts, field)
static const struct fm_flag flags[] = {
    {0, "spool", FM_FLAG_TEXT, AT(dir), "DIR",
     "The spool's folder; without it the one of the configuration."},
    {0, "topic", FM_FLAG_TEXT, AT(topic), "NAME", "Only records of this topic."},
    {0, "older", FM_FLAG_MSEC, AT(older_ms), "DURATION", "Only records older than this."},
    {'n', "limit", FM_FLAG_NUMBER, AT(limit), "N", "At most N records (lists show 1000)."},
    {'a', "all", FM_FLAG_SWITCH, AT(all), NULL,
     "All records: lists without a limit; drop and dead retry want it said."},
    {.name = NULL},
};
#undef AT
static const char *const text[] = {
    "Asks the running agent over its control socket; opens the store itself only when nobody holds "
    "it. status --json prints one object, export and dead show print JSON anyhow.",
    NULL,
};
static const char *const examples[] = {"firstmile spool status",
                                       "what waits, what was lost, per stream",
                                       "firstmile spool dead list",
                                       "what the proxy refused for good, with its reasons",
                                       "firstmile spool dead retry --all",
                                       "send all of that once more",
                                       NULL};

const struct fm_cmd fm_cmd_spool = {
    .name = "spool",
    .args = "status|list|export|drop|dead list|dead show|dead retry",
    .about = "look into the spool and its dead letters",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct spool_opts),
    .actions = actions,
    .json = true,
};
