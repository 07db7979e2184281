/* cli/cmd_spool.c - `spool status|list|export|drop|dead list|dead show|dead retry` */
#include <string.h>

#include "base/clock.h"
#include "cli/cmd_spool_priv.h"

enum { LIST_LIMIT = 1000 };

/* ---- the actions ---- */

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

static void add_row(struct fm_spool_work *w, const struct fm_spool_row *row, const char *raw,
                    size_t len, void *arg)
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

static enum fm_code list(struct fm_spool_work *w, bool dead, struct fm_err *err)
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
    enum fm_code code = fm_spool_pages(w, dead ? "spool.dead.list" : "spool.list", limit, add_row,
                                       &table, &cut, err);
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

static enum fm_code list_pending(struct fm_spool_work *w, struct fm_err *err)
{
    return list(w, false, err);
}

static enum fm_code list_dead(struct fm_spool_work *w, struct fm_err *err)
{
    return list(w, true, err);
}

struct export_state {
    uint64_t left; /* records still to be printed */
};

static void export_row(struct fm_spool_work *w, const struct fm_spool_row *row, const char *raw,
                       size_t len, void *arg)
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

static enum fm_code export_all(struct fm_spool_work *w, struct fm_err *err)
{
    struct export_state state = {w->opts->limit > 0 ? w->opts->limit : UINT64_MAX};
    bool cut;
    return fm_spool_pages(w, "spool.export", w->opts->limit, export_row, &state, &cut, err);
}

static enum fm_code drop(struct fm_spool_work *w, struct fm_err *err)
{
    const struct spool_opts *o = w->opts;
    if (!o->all && o->topic == NULL && o->older_ms == 0 && o->limit == 0)
        return fm_err_set(err, FM_EUSAGE,
                          "spool drop: say which records: --topic, --older, "
                          "--limit, or --all of them");
    struct fm_buf request;
    fm_buf_init(&request, 0);
    fm_spool_put_request(&request, w, "spool.drop", o->limit, NULL);
    FM_TRY(fm_spool_ask(w, &request, err));
    return fm_spool_tell_count(w, "dropped", err);
}

static enum fm_code show_dead(struct fm_spool_work *w, struct fm_err *err)
{
    struct fm_spool_pos id = {.seq = 0};
    struct fm_buf request;
    FM_TRY(fm_spool_parse_id(w->call->words.items[0], &id, err));
    fm_buf_init(&request, 0);
    fm_spool_put_request(&request, w, "spool.dead.show", 0, NULL);
    fm_spool_put_id(&request, &id);
    FM_TRY(fm_spool_ask(w, &request, err));
    (void)fwrite(w->answer.data, 1, w->answer.len, stdout);
    return FM_OK;
}

static enum fm_code retry_dead(struct fm_spool_work *w, struct fm_err *err)
{
    struct fm_spool_pos id = {.seq = 0};
    struct fm_buf request;
    bool one = w->call->words.n > 0;
    if (one)
        FM_TRY(fm_spool_parse_id(w->call->words.items[0], &id, err));
    else if (!w->opts->all && w->opts->topic == NULL && w->opts->limit == 0)
        return fm_err_set(err, FM_EUSAGE,
                          "spool dead retry: say which: STREAM:SEQ, --topic, "
                          "--limit, or --all of them");
    fm_buf_init(&request, 0);
    fm_spool_put_request(&request, w, "spool.dead.retry", w->opts->limit, NULL);
    if (one)
        fm_spool_put_id(&request, &id);
    FM_TRY(fm_spool_ask(w, &request, err));
    return fm_spool_tell_count(w, "retried", err);
}

/* ---- around them ---- */

static enum fm_code with_store(struct fm_cmd_call *call,
                               enum fm_code (*action)(struct fm_spool_work *w, struct fm_err *err),
                               struct fm_err *err)
{
    struct fm_spool_work w = {.call = call, .opts = call->opts};
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
    return with_store(call, fm_spool_print_status, err);
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
