/* What audit found, as text or JSON. */
#include <string.h>

#include "base/json.h"
#include "cli/audit_priv.h"

enum { SHOWN_RANGES = 20 };

static const struct fm_column columns[] = {
    {.name = "agent", .flex = true},       {.name = "stream"},
    {.name = "first", .right = true},      {.name = "last", .right = true},
    {.name = "seen", .right = true},       {.name = "duplicates", .right = true},
    {.name = "disordered", .right = true}, {.name = "lost", .right = true},
    {.name = "pending", .right = true},    {.name = "cut", .right = true},
    {.name = "missing", .right = true},
};

static enum fm_code print_table(struct fm_audit_job *job, struct fm_err *err)
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

/* A record of the agent says in its value whose it is; one of `produce` can do so in headers only.
 */
static void print_foreign(const struct fm_audit_job *job, const struct fm_audit_totals *t)
{
    if (t->foreign == 0)
        return;
    (void)printf("nothing is proved of foreign records: those of produce carry their numbers as "
                 "headers, which api = v2 does not have");
    if (!job->headers && job->opts->from == NULL)
        (void)printf("; no headers came through this consumer interface either, kcat -J and --from "
                     "show those of v3");
    (void)printf("\n");
}

static enum fm_code print_text(struct fm_audit_job *job, struct fm_err *err)
{
    const struct fm_audit_totals *t = fm_audit_totals(job->audit);
    const struct fm_audit_stream *s;
    FM_TRY(print_table(job, err));
    for (size_t i = 0; (s = fm_audit_stream(job->audit, i)) != NULL; i++) {
        print_reasons(s);
        print_missing(s);
    }
    (void)printf("%llu record%s in %zu partition%s, %llu of them foreign\n",
                 (unsigned long long)t->records, fm_plural(t->records), t->partitions,
                 fm_plural(t->partitions), (unsigned long long)t->foreign);
    print_foreign(job, t);
    if (t->malformed > 0)
        (void)printf("%llu control record%s without sense prove%s nothing\n",
                     (unsigned long long)t->malformed, fm_plural(t->malformed),
                     t->malformed == 1 ? "s" : "");
    if (t->order_unchecked)
        (void)printf("there are too many keys: order was checked for the first ones only\n");
    if (t->streams > 0 && t->missing == 0 && t->extent_unknown)
        (void)printf("no number up to the highest of each stream is missing, save what that "
                     "damage hid: how much was lost there is not known\n");
    else if (t->streams > 0 && t->missing == 0)
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

static enum fm_code print_json(struct fm_audit_job *job, struct fm_err *err)
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
    fm_buf_printf(&out, "\"headers\":%s,\"extent_unknown\":%s,\"streams\":[",
                  job->headers ? "true" : "false", t->extent_unknown ? "true" : "false");
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

enum fm_code fm_audit_verdict(struct fm_audit_job *job, struct fm_err *err)
{
    const struct fm_audit_totals *t = fm_audit_totals(job->audit);
    if (job->unreadable > 0)
        fm_cmd_note(job->cli,
                    "%s:%llu: no record as kcat -J writes it (%llu such lines); what they held "
                    "may be missing",
                    job->name, (unsigned long long)job->first_unreadable,
                    (unsigned long long)job->unreadable);
    if (job->other_topics > 0)
        fm_cmd_note(job->cli, "%llu record%s of other topics passed over",
                    (unsigned long long)job->other_topics, fm_plural(job->other_topics));
    if (t->streams == 0 && t->records == 0)
        return fm_err_set(err, FM_EDAMAGE,
                          job->opts->from != NULL
                              ? "nothing to audit: there is no record in %.120s; was all of the "
                                "topic read into it?"
                              : "nothing to audit: topic %.120s is empty, or there is none of this "
                                "name",
                          job->name);
    if (t->streams == 0)
        return fm_err_set(
            err, FM_EDAMAGE,
            "nothing to audit: none of %llu record%s in %.80s carries an identity; %s",
            (unsigned long long)t->records, fm_plural(t->records), job->name,
            job->headers || job->opts->from != NULL
                ? "records of produce do so with api = v3 only, as headers"
                : "those of produce have it as headers, by api = v3 only, and no headers came "
                  "through this consumer interface: read them with kcat -J and --from");
    if (t->missing > 0)
        return fm_err_set(err, FM_EDAMAGE, "%llu number%s missing: neither seen nor declared",
                          (unsigned long long)t->missing, t->missing == 1 ? " is" : "s are");
    return FM_OK;
}

enum fm_code fm_audit_print(struct fm_audit_job *job, struct fm_err *err)
{
    return job->cli->global.json ? print_json(job, err) : print_text(job, err);
}
