/* cli/cmd_audit.c - `audit`: proves from what a topic holds that each number was delivered or
 * declared. */
#include <string.h>
#include <unistd.h>

#include "cli/audit_priv.h"
#include "cli/session.h"

static enum fm_code audit(struct fm_audit_job *job, struct fm_err *err)
{
    const struct fm_audit_opts *o = job->opts;
    /* First the spool: what is sent in between is then known twice, and never missed. */
    if (o->spool != NULL)
        FM_TRY(fm_audit_read_spool(job, err));
    if (o->from != NULL) {
        FM_TRY(fm_audit_read_file(job, err));
        FM_TRY(fm_audit_finish(job->audit, err));
    } else {
        FM_TRY(fm_audit_read_topic(job, err));
    }
    FM_TRY(fm_audit_print(job, err));
    return fm_audit_verdict(job, err);
}

static enum fm_code configure(struct fm_audit_job *job, struct fm_err *err)
{
    const struct fm_audit_opts *o = job->opts;
    if (o->from != NULL && (o->follow || o->group != NULL || o->timeout_ms > 0))
        return fm_err_set(err, FM_EUSAGE,
                          "audit: --follow, --group and --timeout are for reading the topic, not "
                          "for --from");
    if (o->from == NULL || o->spool != NULL)
        FM_TRY(fm_cmd_config(job->cli, &job->config, NULL, err));
    if (o->from == NULL && job->topic == NULL)
        job->topic = job->config->rest.topic;
    job->name = job->topic;
    return FM_OK;
}

static enum fm_code run_audit(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_audit_job job = {.cli = call->cli,
                               .opts = call->opts,
                               .topic = call->words.n > 0 ? call->words.items[0] : NULL};
    job.progress = isatty(STDERR_FILENO) != 0 && call->cli->global.quiet == 0;
    fm_buf_init(&job.topic_text, 0);
    fm_buf_init(&job.key_text, 0);
    fm_buf_init(&job.value_text, 0);
    fm_buf_init(&job.header_text, 0);
    enum fm_code code = configure(&job, err);
    if (code == FM_OK)
        code = fm_audit_new(&job.audit, 0, err);
    if (code == FM_OK)
        code = audit(&job, err);
    fm_audit_free(job.audit);
    fm_config_free(job.config);
    fm_buf_clear(&job.topic_text);
    fm_buf_clear(&job.key_text);
    fm_buf_clear(&job.value_text);
    fm_buf_clear(&job.header_text);
    return code;
}

#define AT(field) offsetof(struct fm_audit_opts, field)
static const struct fm_flag flags[] = {
    {0, "from", FM_FLAG_TEXT, AT(from), "FILE",
     "Records as kcat -J writes them, one JSON object a line; - is standard input."},
    {0, "spool", FM_FLAG_TEXT, AT(spool), "DIR",
     "Subtract what this spool still holds; a running agent is asked for it."},
    {'f', "follow", FM_FLAG_SWITCH, AT(follow), NULL,
     "Keep reading; print a line each time, and each number that stays away or is declared lost. "
     "Ctrl-C ends it with the report."},
    {0, "settle", FM_FLAG_MSEC, AT(settle_ms), "DURATION",
     "How long a number may be under way before it counts as missing, and the time between two "
     "lines of --follow (default 10s)."},
    {0, "group", FM_FLAG_TEXT, AT(group), "NAME",
     "The consumer group, where only some may be used (default: a fresh firstmile-audit-...). "
     "Nothing is committed in it."},
    {0, "timeout", FM_FLAG_MSEC, AT(timeout_ms), "DURATION",
     "Give up after this time without progress (default 1m)."},
    {.name = NULL},
};
#undef AT
static const char *const text[] = {
    "Reads TOPIC (default: [rest] topic) from its beginning to its end through the v2 consumer "
    "interface of the REST proxy in the configuration ([rest] consumer_url, else url), or with "
    "--from what kcat wrote, where a proxy has no such interface (Confluent Cloud). Per stream, "
    "each number up to the highest must have been seen or be declared lost by a gap record. Exit "
    "code 0: all are accounted for; 1: some are missing, there was nothing to audit, or the topic "
    "could not be read to its end; 2: usage or configuration.",
    "Numbers that are missing when the end is reached may be under way: after --settle the records "
    "that came meanwhile are read too, for these numbers only. Lost is declared and was not seen; "
    "cut is what retention may have taken, which is assumed only where a partition does not begin "
    "at offset 0; disordered counts records behind a higher number of their key, as those of a "
    "dead letter sent again.",
    "With --from and without TOPIC all topics in the file are audited. What came after the highest "
    "number of a stream cannot be known from a topic.",
    NULL,
};
static const char *const examples[] = {
    "firstmile audit jmx -o rest.url=https://rest.example.com:8082",
    "prove that the topic has everything",
    "firstmile audit --spool /var/lib/firstmile/spool",
    "the same by the configuration here, but for what still waits in the spool",
    "firstmile audit jmx --follow",
    "watch it as it grows",
    "kcat -b broker:9092 -C -J -e -o beginning -t jmx | firstmile audit jmx --from -",
    "without a consumer interface",
    NULL};

const struct fm_cmd fm_cmd_audit = {
    .name = "audit",
    .args = "[TOPIC]",
    .about = "prove that every record was delivered or declared lost",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct fm_audit_opts),
    .max_words = 1,
    .json = true,
    .run = run_audit,
};
