#include "sandbox/core_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "sandbox/v3_priv.h"

static void fire(struct fm_exchange *x);

/* --- opening and closing --- */

static enum fm_code open_store(struct fm_core *core, const struct fm_sandbox_opts *opts,
                               struct fm_err *err)
{
    struct fm_tlog_topic *topics = calloc(opts->n_topics + 1, sizeof *topics);
    if (topics == NULL)
        return fm_err_nomem(err);
    enum fm_code code = FM_OK;
    for (size_t i = 0; i < opts->n_topics && code == FM_OK; i++)
        code = fm_tlog_topic_parse(&topics[i], opts->topics[i], err);
    struct fm_tlog_opts store = {
        .topics = topics,
        .n_topics = opts->n_topics,
        .no_create = opts->no_create,
        .metadata_timeout_ms = opts->metadata_timeout_ms > 0 ? opts->metadata_timeout_ms : 60000,
        .max_bytes = opts->max_bytes > 0 ? opts->max_bytes : (size_t)64 << 20,
        .data_dir = opts->data_dir,
        .kafka = opts->kafka,
        .log = opts->log};
    if (code == FM_OK && opts->kafka != NULL && opts->data_dir != NULL)
        code = fm_err_set(err, FM_ECONF,
                          "--kafka and --data exclude each other: records go to one place");
    if (code == FM_OK && opts->kafka != NULL && opts->kafka[0] == '\0')
        code = fm_err_set(err, FM_ECONF, "--kafka needs the bootstrap servers, HOST:PORT");
    if (code == FM_OK) {
        core->async = opts->kafka != NULL;
        code = opts->kafka != NULL      ? fm_tlog_kafka_open(&core->tlog, &store, err)
               : opts->data_dir != NULL ? fm_tlog_sqlite_open(&core->tlog, &store, err)
                                        : fm_tlog_memory_open(&core->tlog, &store, err);
    }
    free(topics);
    return code;
}

static enum fm_code read_file(const char *path, struct fm_buf *out, struct fm_err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fm_err_sys(err, errno, "cannot read %s", path);
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0)
        fm_buf_put(out, part, n);
    (void)fclose(file);
    return fm_buf_code(out, err);
}

static enum fm_code load_faults(struct fm_core *core, const struct fm_sandbox_opts *opts,
                                struct fm_err *err)
{
    struct fm_buf script;
    fm_buf_init(&script, 1 << 20);
    enum fm_code code = FM_OK;
    if (opts->faults_file != NULL)
        code = read_file(opts->faults_file, &script, err);
    if (opts->faults != NULL)
        fm_buf_puts(&script, opts->faults);
    if (code == FM_OK)
        code = fm_core_faults(core, fm_buf_str(&script), err);
    fm_buf_clear(&script);
    return code;
}

static enum fm_code set_credentials(struct fm_core *core, const struct fm_sandbox_opts *opts,
                                    struct fm_err *err)
{
    if (opts->username == NULL)
        return FM_OK;
    struct fm_buf plain, header;
    fm_buf_init(&plain, 0);
    fm_buf_init(&header, 0);
    fm_buf_printf(&plain, "%s:%s", opts->username, opts->password == NULL ? "" : opts->password);
    fm_buf_puts(&header, "Basic ");
    if (!plain.failed)
        fm_base64_put(&header, plain.data, plain.len);
    enum fm_code code = fm_buf_code(plain.failed ? &plain : &header, err);
    if (code == FM_OK)
        core->authorization = fm_buf_take(&header);
    fm_buf_clear(&plain);
    fm_buf_clear(&header);
    return code;
}

enum fm_code fm_core_open(struct fm_core *core, const struct fm_sandbox_opts *opts,
                          const struct fm_core_hooks *hooks, struct fm_err *err)
{
    *core = (struct fm_core){.hooks = hooks, .log = opts->log};
    (void)pthread_mutex_init(&core->lock, NULL);
    fm_timer_init(&core->timer, fire);
    core->consumers = fm_consumers_new(opts->consumer_idle_ms, opts->cert_file != NULL);
    enum fm_code code = core->consumers != NULL
                            ? fm_ledger_open(&core->ledger, opts->ledger_file, err)
                            : fm_err_nomem(err);
    if (code == FM_OK)
        code = fm_registry_new(&core->registry, err);
    if (code == FM_OK)
        code = set_credentials(core, opts, err);
    if (code == FM_OK)
        code = load_faults(core, opts, err);
    if (code == FM_OK)
        code = open_store(core, opts, err);
    if (code != FM_OK)
        fm_core_close(core);
    return code;
}

void fm_core_stop(struct fm_core *core)
{
    atomic_store(&core->stopping, true);
    if (core->tlog != NULL)
        core->tlog->ops->stop(core->tlog);
    fm_timer_stop(&core->timer);
}

void fm_core_close(struct fm_core *core)
{
    fm_core_stop(core);
    if (core->tlog != NULL)
        core->tlog->ops->close(core->tlog);
    core->tlog = NULL;
    fm_timer_clear(&core->timer);
    fm_ledger_close(&core->ledger);
    fm_faults_free(core->faults);
    fm_consumers_free(core->consumers);
    fm_registry_free(core->registry);
    free(core->authorization);
    (void)pthread_mutex_destroy(&core->lock);
}

enum fm_code fm_core_faults(struct fm_core *core, const char *script, struct fm_err *err)
{
    struct fm_faults *fresh;
    FM_TRY(fm_faults_parse(&fresh, script, err));
    (void)pthread_mutex_lock(&core->lock);
    struct fm_faults *old = core->faults;
    core->faults = fresh;
    core->produces = core->probes = 0;
    (void)pthread_mutex_unlock(&core->lock);
    fm_faults_free(old);
    return FM_OK;
}

void fm_core_stats(struct fm_core *core, struct fm_sandbox_stats *out)
{
    *out = (struct fm_sandbox_stats){.requests = atomic_load(&core->n_requests),
                                     .produced = atomic_load(&core->n_produced),
                                     .records = atomic_load(&core->n_records),
                                     .bytes = atomic_load(&core->n_bytes),
                                     .refused = atomic_load(&core->n_refused)};
    if (core->tlog->ops->kept != NULL)
        core->tlog->ops->kept(core->tlog, &out->kept_records, &out->kept_bytes);
}

/* --- answering --- */

static void free_exchange(struct fm_exchange *x)
{
    fm_v2_clear(&x->v2);
    fm_fault_clear(&x->fault);
    free(x);
}

static bool has_fault_answer(const struct fm_fault *fault)
{
    return fault->reset || fault->hang;
}

static void put_faults(const struct fm_fault *fault, struct fm_server_reply *reply)
{
    if (fault->has_body) {
        reply->body = fault->body.data;
        reply->body_len = fault->body.len;
    }
    if (fault->has_type)
        reply->content_type = fault->type[0] == '\0' ? NULL : fault->type;
    if (fault->short_at < reply->body_len)
        reply->body_len = fault->short_at;
    reply->cut_at = fault->cut_at;
    reply->drip_ms = fault->drip_ms;
    reply->chunked = fault->chunked;
    reply->wrong_length = fault->wrong_length;
    reply->close = fault->close;
    reply->reset = fault->reset;
    reply->hang = fault->hang;
}

/* Give the answer; the exchange is gone afterwards. */
static void fire(struct fm_exchange *x)
{
    const char *headers[2];
    char retry_after[96];
    struct fm_server_reply reply = {.status = x->v2.reply.status,
                                    .content_type = x->v2.reply.content_type,
                                    .headers = headers,
                                    .body = x->v2.reply.body.data,
                                    .body_len = x->v2.reply.body.len,
                                    .cut_at = SIZE_MAX};
    if (x->v2.reply.header != NULL)
        headers[reply.n_headers++] = x->v2.reply.header;
    if (x->fault.any)
        put_faults(&x->fault, &reply);
    if (x->fault.retry_after[0] != '\0') {
        (void)snprintf(retry_after, sizeof retry_after, "Retry-After: %s", x->fault.retry_after);
        headers[reply.n_headers++] = retry_after;
    }
    x->core->hooks->answer(x, &reply);
    free_exchange(x);
}

/* The reply stands: now, or when its time has come. */
static void reply_ready(struct fm_exchange *x)
{
    int64_t delay = x->v2.job.block_ms + x->fault.delay_ms;
    if (delay <= 0) {
        fire(x);
        return;
    }
    if (!x->deferred)
        x->core->hooks->defer(x);
    x->deferred = true;
    fm_timer_add(&x->core->timer, x, fm_clock_ms() + delay);
}

static void count_records(struct fm_core *core, const struct fm_tlog_job *job)
{
    uint64_t records = 0, bytes = 0;
    for (size_t i = 0; i < job->n && job->result == FM_TLOG_OK; i++) {
        if (job->verdicts[i].error_code != 0)
            continue;
        records++;
        bytes += job->records[i].key_len + job->records[i].value_len;
    }
    atomic_fetch_add(&core->n_records, records);
    atomic_fetch_add(&core->n_bytes, bytes);
    atomic_fetch_add(&core->n_refused, job->n - records);
}

static void note_in_ledger(struct fm_exchange *x)
{
    char status[16];
    (void)snprintf(status, sizeof status, "%u", x->v2.reply.status);
    fm_ledger_write(&x->core->ledger, x,
                    x->fault.reset  ? "reset"
                    : x->fault.hang ? "hang"
                                    : status);
}

/* After the job, or without one: the reply to a produce request as the script wants it. */
static void render_produce(struct fm_exchange *x)
{
    struct fm_tlog_job *job = &x->v2.job;
    const struct fm_fault *fault = &x->fault;
    size_t asked = x->asked;
    job->n = asked; /* the store may have seen fewer */
    if (fault->any && fault->unstored && !fault->silent && !has_fault_answer(fault) &&
        !fault->has_body) {
        unsigned status = fault->status == 0 ? 500 : fault->status;
        fm_v2_error(&x->v2.reply, status, (int)status, "The fault script says so.");
        return;
    }
    job->n = fault->any && fault->entries < asked ? fault->entries : asked;
    x->v2.odd.both = fault->both;
    x->v2.odd.renamed = fault->renamed;
    x->v2.odd.new_name = fault->new_name;
    fm_v2_render(&x->v2);
    job->n = asked;
    if (fault->any && fault->status != 0)
        x->v2.reply.status = fault->status;
}

static void job_done(struct fm_tlog_job *job)
{
    struct fm_exchange *x = (struct fm_exchange *)job;
    if (x->produce) {
        count_records(x->core, job);
        render_produce(x);
        note_in_ledger(x);
    } else if (x->v2.consume == NULL) {
        fm_v2_render(&x->v2);
    } else if (fm_consumer_next(x->core->consumers, &x->v2)) {
        x->core->tlog->ops->submit(x->core->tlog, job);
        return;
    }
    reply_ready(x);
}

/* --- asking --- */

/* In a time that does not depend on where the difference lies. */
static bool same_text(const char *given, const char *expected)
{
    size_t len = strlen(given), want = strlen(expected);
    unsigned char diff = len != want;
    for (size_t i = 0; i < len; i++)
        diff |= (unsigned char)(given[i] ^ expected[i % want]);
    return diff == 0;
}

static bool authorized(struct fm_core *core, struct fm_exchange *x,
                       const struct fm_v2_request *request, const char *authorization)
{
    if (core->authorization == NULL)
        return true;
    if (authorization != NULL && same_text(authorization, core->authorization))
        return true;
    fm_v2_jetty_error(&x->v2.reply, request, 401, "Unauthorized");
    x->v2.reply.header = "WWW-Authenticate: Basic realm=\"sandbox\"";
    return false;
}

static void apply_script(struct fm_exchange *x, const struct fm_v2_request *request, bool parsed)
{
    struct fm_core *core = x->core;
    bool probe = strcmp(request->method, "GET") == 0 &&
                 (strncmp(request->path, "/topics/", 8) == 0 || fm_v3_is_probe(request->path));
    if (!x->produce && !probe)
        return;
    (void)pthread_mutex_lock(&core->lock);
    x->number = x->produce ? ++core->produces : ++core->probes;
    fm_faults_apply(core->faults, probe, x->number, request->body, request->body_len,
                    x->produce && parsed ? &x->v2.job : NULL, &x->fault);
    (void)pthread_mutex_unlock(&core->lock);
    if (x->produce)
        atomic_fetch_add(&core->n_produced, 1);
}

/* A request that never reaches the store: refused, or the script does not want it stored. */
static void end_without_job(struct fm_exchange *x, bool parsed)
{
    if (parsed && x->produce) {
        render_produce(x);
        note_in_ledger(x);
    } else if (x->fault.status != 0 && !x->fault.has_body) {
        fm_v2_error(&x->v2.reply, x->fault.status, (int)x->fault.status,
                    "The fault script says so.");
    }
    if (x->fault.status != 0)
        x->v2.reply.status = x->fault.status;
    else if (x->v2.reply.status == 0)
        x->v2.reply.status = 200;
    reply_ready(x);
}

bool fm_core_run(struct fm_core *core, const struct fm_v2_request *request,
                 const char *authorization, void *call)
{
    struct fm_exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return false;
    fm_v2_init(&x->v2);
    x->v2.registry = core->registry;
    fm_fault_init(&x->fault);
    x->core = core;
    x->call = call;
    x->v2.job.done = job_done;
    x->produce = strcmp(request->method, "POST") == 0 &&
                 (strncmp(request->path, "/topics/", 8) == 0 || fm_v3_is_produce(request->path));
    atomic_fetch_add(&core->n_requests, 1);
    if (atomic_load(&core->stopping)) {
        fm_v2_error(&x->v2.reply, 503, 503, "The sandbox is stopping.");
        reply_ready(x);
        return true;
    }
    if (!authorized(core, x, request, authorization)) {
        reply_ready(x);
        return true;
    }
    bool parsed = fm_consumer_is(request->path)
                      ? fm_consumer_parse(core->consumers, &x->v2, request)
                      : fm_v2_parse(&x->v2, request);
    x->asked = x->v2.job.n;
    apply_script(x, request, parsed);
    bool store = !x->fault.unstored || x->fault.take != SIZE_MAX;
    if (!parsed || !store) {
        end_without_job(x, parsed);
        return true;
    }
    if (x->produce && x->fault.take < x->v2.job.n)
        x->v2.job.n = x->fault.take;
    if (core->async) {
        core->hooks->defer(x);
        x->deferred = true;
    }
    core->tlog->ops->submit(core->tlog, &x->v2.job);
    return true;
}
