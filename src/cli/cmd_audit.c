/* cli/cmd_audit.c - `audit [TOPIC] --from FILE|-`: proves from what a topic holds that each number
 * was delivered or declared. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jscan.h"
#include "base/json.h"
#include "base/thread.h"
#include "cli/store.h"
#include "record/audit.h"

enum {
    LINE_MAX_BYTES = 32 * 1024 * 1024,
    PIECE = 64 * 1024,
    HEADERS_MAX = 64,
    SHOWN_RANGES = 20,
    PROGRESS_MS = 250
};

struct audit_opts {
    const char *from;
    const char *spool;
};

struct job {
    struct fm_cli *cli;
    const struct audit_opts *opts;
    const char *topic; /* NULL: all in the file */
    struct fm_audit *audit;
    const char *name; /* of the file, for messages */
    uint64_t line;
    uint64_t unreadable, first_unreadable; /* lines */
    uint64_t other_topics; /* records passed over */
    bool progress; /* a line on the terminal */
    int64_t progress_at;
    struct fm_buf topic_text, key_text, value_text,
        header_text; /* of the present line, unescaped */
};

/* ---- the spool: what is still waiting there ---- */

struct held {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
    const char *value; /* NULL: raw bytes */
    size_t value_len;
};

static bool read_held(struct fm_jscan *s, struct job *job, struct held *out)
{
    enum fm_jtoken token;
    int64_t seq = 0;
    *out = (struct held){.seq = 0};
    fm_buf_reset(&job->topic_text);
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        struct fm_jscan key = *s;
        token = fm_jscan_next(s);
        size_t start = s->at - 1;
        if (token == FM_J_STRING && fm_jscan_is(&key, "stream") && s->text_len == FM_STREAM_LEN)
            memcpy(out->stream, s->text, FM_STREAM_LEN);
        else if (token == FM_J_STRING && fm_jscan_is(&key, "topic"))
            fm_jscan_string(s, &job->topic_text);
        else if (token == FM_J_NUMBER && fm_jscan_is(&key, "seq") && fm_jscan_i64(s, &seq))
            out->seq = seq > 0 ? (uint64_t)seq : 0;
        if (!fm_jscan_skip(s, token))
            return false;
        if (token == FM_J_OBJECT && fm_jscan_is(&key, "value")) {
            out->value = s->data + start;
            out->value_len = s->at - start;
        }
    }
    return token == FM_J_OBJECT_END && out->stream[0] != '\0' && out->seq > 0;
}

/* @param last  the record read last; its stream is "" if the page was empty */
static enum fm_code read_page(struct job *job, const struct fm_buf *answer, struct held *last,
                              bool *more, struct fm_err *err)
{
    struct fm_jscan s;
    enum fm_jtoken token = FM_J_ERROR;
    *last = (struct held){.seq = 0};
    fm_jscan_init(&s, answer->data, answer->len);
    bool good = fm_jscan_next(&s) == FM_J_OBJECT && fm_jscan_next(&s) == FM_J_KEY &&
                fm_jscan_is(&s, "records") && fm_jscan_next(&s) == FM_J_ARRAY;
    while (good && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        good = read_held(&s, job, last);
        if (good)
            FM_TRY(fm_audit_pending(job->audit, fm_buf_str(&job->topic_text), last->stream,
                                    last->seq, last->value, last->value_len, err));
    }
    good =
        good && token == FM_J_ARRAY_END && fm_jscan_next(&s) == FM_J_KEY && fm_jscan_is(&s, "more");
    if (!good)
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    *more = fm_jscan_next(&s) == FM_J_TRUE;
    return FM_OK;
}

static enum fm_code read_pages(struct job *job, struct fm_store *store, struct fm_buf *request,
                               struct fm_buf *answer, struct fm_err *err)
{
    struct held last = {.seq = 0};
    bool more = false;
    do {
        fm_buf_reset(request);
        fm_buf_puts(request, "{\"cmd\":\"spool.export\",\"limit\":0");
        if (more)
            fm_buf_printf(request, ",\"after_stream\":\"%s\",\"after_seq\":%llu", last.stream,
                          (unsigned long long)last.seq);
        fm_buf_putc(request, '}');
        FM_TRY(fm_buf_code(request, err));
        FM_TRY(fm_store_ask(store, fm_buf_str(request), answer, err));
        FM_TRY(read_page(job, answer, &last, &more, err));
    } while (more && last.seq > 0);
    return FM_OK;
}

static enum fm_code read_spool(struct job *job, struct fm_err *err)
{
    struct fm_config *config = NULL;
    struct fm_store store = {.spool = NULL};
    struct fm_buf request, answer;
    const struct fm_globals *global = &job->cli->global;
    FM_TRY(fm_config_load(&config, fm_config_find(global->config),
                          &(struct fm_config_opts){.overrides = global->overrides.items,
                                                   .n_overrides = global->overrides.n},
                          err));
    fm_buf_init(&request, 0);
    fm_buf_init(&answer, 0);
    enum fm_code code = fm_store_open(&store, job->cli, config, job->opts->spool, err);
    if (code == FM_OK)
        code = read_pages(job, &store, &request, &answer, err);
    fm_store_close(&store);
    fm_buf_clear(&request);
    fm_buf_clear(&answer);
    fm_config_free(config);
    return code;
}

/* ---- a line of kcat -J ---- */

struct line {
    struct fm_audit_record rec;
    struct fm_header headers[HEADERS_MAX];
    size_t ends[2 * HEADERS_MAX]; /* where each text ends in header_text; see null */
    bool null[2 * HEADERS_MAX];
    size_t n_texts;
    bool has_topic, has_partition, has_offset, has_key, has_value;
    const char *raw; /* a payload that kcat printed as JSON */
    size_t raw_len;
};

/* "headers":["name","value","name",null,...] */
static bool read_headers(struct fm_jscan *s, struct line *line, struct fm_buf *text)
{
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_STRING || token == FM_J_NULL) {
        if (line->n_texts == 2 * (size_t)HEADERS_MAX)
            continue; /* ours are few; the rest of another's does not matter */
        line->null[line->n_texts] = token == FM_J_NULL;
        if (token == FM_J_STRING)
            fm_jscan_string(s, text);
        line->ends[line->n_texts++] = text->len;
    }
    return token == FM_J_ARRAY_END;
}

static void set_headers(struct line *line, const struct fm_buf *text)
{
    size_t start = 0;
    for (size_t i = 0; i + 1 < line->n_texts; i += 2) {
        size_t middle = line->ends[i], end = line->ends[i + 1];
        const char *data = text->data != NULL ? text->data : "";
        line->headers[i / 2] =
            (struct fm_header){data + start, middle - start, data + middle, end - middle};
        if (line->null[i + 1])
            line->headers[i / 2].value = NULL;
        start = end;
    }
    line->rec.headers = line->headers;
    line->rec.n_headers = line->n_texts / 2;
}

static bool read_member(struct fm_jscan *s, const struct fm_jscan *key, enum fm_jtoken token,
                        struct job *job, struct line *line)
{
    int64_t number = 0;
    if (token == FM_J_ARRAY && fm_jscan_is(key, "headers"))
        return read_headers(s, line, &job->header_text);
    if (token == FM_J_NUMBER && fm_jscan_is(key, "partition")) {
        line->has_partition = fm_jscan_i64(s, &number) && number >= 0 && number <= INT32_MAX;
        line->rec.partition = (int32_t)number;
    } else if (token == FM_J_NUMBER && fm_jscan_is(key, "offset")) {
        line->has_offset = fm_jscan_i64(s, &line->rec.offset) && line->rec.offset >= 0;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "topic")) {
        fm_jscan_string(s, &job->topic_text);
        line->has_topic = true;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "key")) {
        fm_jscan_string(s, &job->key_text);
        line->has_key = true;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "payload")) {
        fm_jscan_string(s, &job->value_text);
        line->has_value = true;
    } else {
        size_t start = s->at - 1;
        if (!fm_jscan_skip(s, token))
            return false;
        if (token == FM_J_OBJECT && fm_jscan_is(key, "payload")) {
            line->raw = s->data + start;
            line->raw_len = s->at - start;
        }
    }
    return true;
}

static bool read_line(struct job *job, const struct fm_buf *text, struct line *line)
{
    struct fm_jscan s;
    enum fm_jtoken token;
    fm_buf_reset(&job->topic_text);
    fm_buf_reset(&job->key_text);
    fm_buf_reset(&job->value_text);
    fm_buf_reset(&job->header_text);
    line->n_texts = 0;
    line->rec = (struct fm_audit_record){.topic = NULL};
    line->has_topic = line->has_partition = line->has_offset = line->has_key = line->has_value =
        false;
    line->raw = NULL;
    fm_jscan_init(&s, text->data, text->len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        struct fm_jscan key = s;
        token = fm_jscan_next(&s);
        if (token == FM_J_ERROR || !read_member(&s, &key, token, job, line))
            return false;
    }
    set_headers(line, &job->header_text);
    line->rec.topic = fm_buf_str(&job->topic_text);
    line->rec.key = line->has_key ? fm_buf_str(&job->key_text) : NULL;
    line->rec.key_len = job->key_text.len;
    line->rec.value = line->has_value ? fm_buf_str(&job->value_text) : line->raw;
    line->rec.value_len = line->has_value ? job->value_text.len : line->raw_len;
    return token == FM_J_OBJECT_END && fm_jscan_next(&s) == FM_J_END && line->has_topic &&
           line->has_partition && line->has_offset;
}

static void show_progress(struct job *job, bool end)
{
    if (!job->progress || (!end && (job->line % 256 != 0 || fm_clock_ms() < job->progress_at)))
        return;
    job->progress_at = fm_clock_ms() + PROGRESS_MS;
    if (end)
        (void)fputs("\r\033[K", stderr);
    else
        (void)fprintf(stderr, "\r%llu records read", (unsigned long long)job->line);
    (void)fflush(stderr);
}

static enum fm_code take_line(struct job *job, struct fm_buf *text, struct line *line,
                              struct fm_err *err)
{
    job->line++;
    show_progress(job, false);
    if (text->failed && !text->over_limit)
        return fm_err_nomem(err);
    if (text->failed || !read_line(job, text, line)) {
        if (job->unreadable++ == 0)
            job->first_unreadable = job->line;
        return FM_OK;
    }
    FM_TRY(fm_buf_code(&job->topic_text, err));
    FM_TRY(fm_buf_code(&job->key_text, err));
    FM_TRY(fm_buf_code(&job->value_text, err));
    FM_TRY(fm_buf_code(&job->header_text, err));
    if (job->topic != NULL && strcmp(job->topic, line->rec.topic) != 0) {
        job->other_topics++;
        return FM_OK;
    }
    return fm_audit_add(job->audit, &line->rec, err);
}

static enum fm_code read_lines(struct job *job, int fd, struct fm_buf *text, char *piece,
                               struct fm_err *err)
{
    struct line line;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fm_err_sys(err, errno, "cannot read %s", job->name);
        const char *at = piece, *end = piece + n, *stop;
        while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            fm_buf_put(text, at, (size_t)(stop - at));
            if (text->len > 0 || text->failed)
                FM_TRY(take_line(job, text, &line, err));
            fm_buf_reset(text);
            at = stop + 1;
        }
        fm_buf_put(text, at, (size_t)(end - at));
        if (n == 0) /* a last line without its end may be cut: then it cannot be read */
            return text->len > 0 || text->failed ? take_line(job, text, &line, err) : FM_OK;
    }
}

static enum fm_code read_file(struct job *job, struct fm_err *err)
{
    static const char from_stdin[] = "standard input";
    bool standard = strcmp(job->opts->from, "-") == 0;
    struct fm_buf text;
    job->name = standard ? from_stdin : job->opts->from;
    FM_AUTO(fm_auto_close)
    int fd = standard ? dup(STDIN_FILENO) : open(job->name, O_RDONLY | O_CLOEXEC);
    char *piece = fm_arena_alloc(&job->cli->arena, PIECE);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot read %s", job->name);
    if (piece == NULL)
        return fm_err_nomem(err);
    fm_buf_init(&text, LINE_MAX_BYTES);
    enum fm_code code = read_lines(job, fd, &text, piece, err);
    fm_buf_clear(&text);
    show_progress(job, true);
    return code;
}

/* ---- the report ---- */

static const struct fm_column columns[] = {
    {.name = "agent", .flex = true},       {.name = "stream"},
    {.name = "first", .right = true},      {.name = "last", .right = true},
    {.name = "seen", .right = true},       {.name = "duplicates", .right = true},
    {.name = "disordered", .right = true}, {.name = "lost", .right = true},
    {.name = "pending", .right = true},    {.name = "cut", .right = true},
    {.name = "missing", .right = true},
};

static enum fm_code print_table(struct job *job, struct fm_err *err)
{
    const struct fm_audit_stream *s;
    struct fm_table table;
    fm_table_init(&table, columns, sizeof columns / sizeof columns[0], &job->cli->arena);
    for (size_t i = 0; (s = fm_audit_stream(job->audit, i)) != NULL; i++) {
        const uint64_t numbers[] = {s->first, s->last,    s->seen, s->duplicates, s->disordered,
                                    s->lost,  s->pending, s->cut,  s->missing};
        fm_table_text(&table, s->agent);
        fm_table_text(&table, s->stream);
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
            fm_table_int(&table, (int64_t)numbers[n]);
        if (s->missing > 0)
            fm_table_colour(&table, FM_RED);
    }
    const struct fm_table_style style = fm_cmd_style(job->cli);
    enum fm_code code = fm_table_print(&table, stdout, &style, err);
    fm_table_clear(&table);
    return code;
}

static void print_reasons(const struct fm_audit_stream *s)
{
    const char *comma = "";
    bool any = false;
    for (int r = 0; r < FM_AUDIT_REASONS; r++)
        any |= s->declared[r] > 0;
    if (any)
        (void)printf("%s: declared lost: ", s->stream);
    for (int r = 0; r < FM_AUDIT_REASONS; r++)
        if (s->declared[r] > 0) {
            (void)printf("%s%llu %s", comma, (unsigned long long)s->declared[r],
                         fm_audit_reason_name((enum fm_audit_reason)r));
            comma = ", ";
        }
    if (any)
        (void)printf("\n");
    if (s->extent_unknown)
        (void)printf("%s: damage of unknown extent was declared: any of its numbers may be lost\n",
                     s->stream);
}

static unsigned long long range_count(const struct fm_audit_range *range)
{
    const uint64_t n = range->to - range->from + 1;
    return (unsigned long long)n;
}

static void print_missing(const struct fm_audit_stream *s)
{
    for (size_t i = 0; i < s->n_ranges && i < SHOWN_RANGES; i++)
        (void)printf("%s: missing %llu to %llu (%llu)\n", s->stream,
                     (unsigned long long)s->ranges[i].from, (unsigned long long)s->ranges[i].to,
                     range_count(&s->ranges[i]));
    if (s->all_ranges > SHOWN_RANGES)
        (void)printf("%s: and %llu ranges more\n", s->stream,
                     (unsigned long long)s->all_ranges - SHOWN_RANGES);
}

static enum fm_code print_text(struct job *job, struct fm_err *err)
{
    const struct fm_audit_totals *t = fm_audit_totals(job->audit);
    const struct fm_audit_stream *s;
    FM_TRY(print_table(job, err));
    for (size_t i = 0; (s = fm_audit_stream(job->audit, i)) != NULL; i++) {
        print_reasons(s);
        print_missing(s);
    }
    (void)printf("%llu records in %zu partitions, %llu of them foreign\n",
                 (unsigned long long)t->records, t->partitions, (unsigned long long)t->foreign);
    if (t->malformed > 0)
        (void)printf("%llu control records make no sense and prove nothing\n",
                     (unsigned long long)t->malformed);
    if (t->order_unchecked)
        (void)printf("there are too many keys: order was checked for the first ones only\n");
    if (t->streams > 0 && t->missing == 0)
        (void)printf("all numbers up to the highest of each stream are accounted for; what came "
                     "after it cannot be known from the topic\n");
    return FM_OK;
}

static void put_number(struct fm_buf *out, const char *name, uint64_t v)
{
    fm_json_key(out, name);
    fm_buf_u64(out, v);
    fm_buf_putc(out, ',');
}

static void put_stream(struct fm_buf *out, const struct fm_audit_stream *s)
{
    fm_buf_puts(out, "{\"agent\":");
    fm_json_cstr(out, s->agent);
    fm_buf_puts(out, ",\"stream\":");
    fm_json_cstr(out, s->stream);
    fm_buf_puts(out, ",\"topic\":");
    fm_json_cstr(out, s->topic);
    fm_buf_putc(out, ',');
    put_number(out, "first", s->first);
    put_number(out, "last", s->last);
    put_number(out, "highest", s->highest);
    put_number(out, "seen", s->seen);
    put_number(out, "duplicates", s->duplicates);
    put_number(out, "disordered", s->disordered);
    put_number(out, "lost", s->lost);
    put_number(out, "pending", s->pending);
    put_number(out, "cut", s->cut);
    put_number(out, "missing", s->missing);
    fm_buf_printf(out, "\"extent_unknown\":%s,\"declared\":{",
                  s->extent_unknown ? "true" : "false");
    for (int r = 0; r < FM_AUDIT_REASONS; r++) {
        fm_buf_puts(out, r > 0 ? "," : "");
        fm_json_key(out, fm_audit_reason_name((enum fm_audit_reason)r));
        fm_buf_u64(out, s->declared[r]);
    }
    fm_buf_puts(out, "},\"prev_stream\":");
    fm_json_cstr(out, s->prev_stream);
    fm_buf_puts(out, ",\"ranges\":[");
    for (size_t i = 0; i < s->n_ranges; i++)
        fm_buf_printf(out, "%s{\"from\":%llu,\"to\":%llu,\"count\":%llu}", i > 0 ? "," : "",
                      (unsigned long long)s->ranges[i].from, (unsigned long long)s->ranges[i].to,
                      range_count(&s->ranges[i]));
    fm_buf_printf(out, "],\"all_ranges\":%llu}", (unsigned long long)s->all_ranges);
}

static enum fm_code print_json(struct job *job, struct fm_err *err)
{
    const struct fm_audit_totals *t = fm_audit_totals(job->audit);
    const struct fm_audit_stream *s;
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_buf_putc(&out, '{');
    put_number(&out, "records", t->records);
    put_number(&out, "foreign", t->foreign);
    put_number(&out, "malformed", t->malformed);
    put_number(&out, "unreadable", job->unreadable);
    put_number(&out, "partitions", t->partitions);
    put_number(&out, "seen", t->seen);
    put_number(&out, "duplicates", t->duplicates);
    put_number(&out, "disordered", t->disordered);
    put_number(&out, "lost", t->lost);
    put_number(&out, "pending", t->pending);
    put_number(&out, "cut", t->cut);
    put_number(&out, "missing", t->missing);
    fm_buf_printf(&out, "\"extent_unknown\":%s,\"streams\":[",
                  t->extent_unknown ? "true" : "false");
    for (size_t i = 0; (s = fm_audit_stream(job->audit, i)) != NULL; i++) {
        fm_buf_puts(&out, i > 0 ? "," : "");
        put_stream(&out, s);
    }
    fm_buf_puts(&out, "]}\n");
    enum fm_code code = fm_buf_code(&out, err);
    if (code == FM_OK)
        (void)fwrite(out.data, 1, out.len, stdout);
    fm_buf_clear(&out);
    return code;
}

static enum fm_code judge(struct job *job, struct fm_err *err)
{
    const struct fm_audit_totals *t = fm_audit_totals(job->audit);
    if (job->unreadable > 0)
        fm_cmd_note(job->cli,
                    "%s:%llu: no record as kcat -J writes it (%llu such lines); what they held "
                    "may be missing",
                    job->name, (unsigned long long)job->first_unreadable,
                    (unsigned long long)job->unreadable);
    if (job->other_topics > 0)
        fm_cmd_note(job->cli, "%llu records of other topics were passed over",
                    (unsigned long long)job->other_topics);
    if (t->streams == 0)
        return fm_err_set(err, FM_EDAMAGE,
                          "nothing to audit: none of the %llu records in %s carries an identity",
                          (unsigned long long)t->records, job->name);
    if (t->missing > 0)
        return fm_err_set(err, FM_EDAMAGE, "%llu numbers are missing: neither seen nor declared",
                          (unsigned long long)t->missing);
    return FM_OK;
}

static enum fm_code audit_file(struct job *job, struct fm_err *err)
{
    /* First the spool: what is sent in between is then known twice, and never missed. */
    if (job->opts->spool != NULL)
        FM_TRY(read_spool(job, err));
    FM_TRY(read_file(job, err));
    FM_TRY(fm_audit_finish(job->audit, err));
    FM_TRY(job->cli->global.json ? print_json(job, err) : print_text(job, err));
    return judge(job, err);
}

static enum fm_code run_audit(struct fm_cmd_call *call, struct fm_err *err)
{
    struct job job = {.cli = call->cli,
                      .opts = call->opts,
                      .topic = call->words.n > 0 ? call->words.items[0] : NULL};
    if (job.opts->from == NULL)
        return fm_err_set(err, FM_EUSAGE,
                          "audit: say where the records are: --from FILE, or --from - behind "
                          "kcat -C -J -e -o beginning -t TOPIC");
    job.progress = isatty(STDERR_FILENO) != 0 && call->cli->global.quiet == 0;
    fm_buf_init(&job.topic_text, 0);
    fm_buf_init(&job.key_text, 0);
    fm_buf_init(&job.value_text, 0);
    fm_buf_init(&job.header_text, 0);
    FM_TRY(fm_audit_new(&job.audit, 0, err));
    enum fm_code code = audit_file(&job, err);
    fm_audit_free(job.audit);
    fm_buf_clear(&job.topic_text);
    fm_buf_clear(&job.key_text);
    fm_buf_clear(&job.value_text);
    fm_buf_clear(&job.header_text);
    return code;
}

#define AT(field) offsetof(struct audit_opts, field)
static const struct fm_flag flags[] = {
    {0, "from", FM_FLAG_TEXT, AT(from), "FILE",
     "Records as kcat -J writes them, one JSON object a line; - is standard input."},
    {0, "spool", FM_FLAG_TEXT, AT(spool), "DIR",
     "Subtract what this spool still holds; a running agent is asked for it."},
    {.name = NULL},
};
#undef AT
static const char *const text[] = {
    "Per stream, each number up to the highest must have been seen or be declared lost by a gap "
    "record. Exit code 0: all are accounted for; 1: some are missing, or there was nothing to "
    "audit. Lost is declared and was not seen; cut is what retention may have taken, which is "
    "assumed only where the first record of a partition in the file is not its offset 0; "
    "disordered counts records behind a higher number of their key, as those of a dead letter "
    "sent again.",
    "Without TOPIC all topics in the file are audited. What came after the highest number of a "
    "stream cannot be known from a topic.",
    NULL,
};
static const char *const examples[] = {
    "kcat -b broker:9092 -C -J -e -o beginning -t jmx | firstmile audit jmx --from -",
    "prove that the topic has everything",
    "firstmile audit jmx --from dump.json --spool /var/lib/firstmile/spool",
    "do not miss what still waits in the spool", NULL};

const struct fm_cmd fm_cmd_audit = {
    .name = "audit",
    .args = "[TOPIC]",
    .about = "prove that every record was delivered or declared lost",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct audit_opts),
    .max_words = 1,
    .json = true,
    .run = run_audit,
};
