/* The rules of design section 7: what is ok, degraded or failing, and the sentence for each. */
#include <stdio.h>
#include <string.h>

#include "agent/certs.h"
#include "agent/document.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"

enum {
    MIB = 1024 * 1024,
    UNANSWERED_MS = 8000,
    PROBING_MS = 10000,
    DROPPED_MS = 60000,
    DEAD_MS = 3600000,
    DAMAGE_MS = 3600000,
    TARGETS_SHOWN = 20
};

struct verdict {
    struct fm_buf *out;
    enum fm_health health;
    unsigned reasons;
    struct fm_reasons *known; /* NULL: nobody asks */
};

/* What a reason is called, whatever it says at the moment. */
struct label {
    char text[FM_LABEL];
    uint64_t topic, said; /* see struct fm_reasons */
    bool logged; /* another part of the agent puts it into the log, with all it says */
};

static struct label label(bool logged, const char *fmt, ...) FM_PRINTF(2, 3);

static struct label label(bool logged, const char *fmt, ...)
{
    struct label l = {.logged = logged};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(l.text, sizeof l.text, fmt, args);
    va_end(args);
    fm_utf8_cut(l.text);
    return l;
}

static void put_item(struct fm_buf *out, const char *text)
{
    fm_buf_puts(out, out->len > 0 ? "; " : "");
    fm_buf_puts(out, text);
}

static void know(struct fm_reasons *r, const struct label *l, const char *text)
{
    enum { MOST = sizeof r->known / sizeof r->known[0], SURE = 900 /* of a line of the log */ };
    uint64_t id = fm_hash_text(l->text);
    for (size_t i = 0; i < r->n; i++) {
        if (r->known[i].id != id)
            continue;
        r->known[i].seen = true;
        return;
    }
    if (r->n == MOST)
        return;
    r->known[r->n].id = id;
    r->known[r->n].seen = true;
    memcpy(r->known[r->n].label, l->text, sizeof l->text);
    put_item(&r->joined, l->logged ? l->text : text);
    r->known[r->n].topic = l->topic;
    r->known[r->n++].said = r->joined.len < SURE ? l->said : 0;
    r->news += !l->logged;
}

static bool still_known(const struct fm_reasons *r, uint64_t topic)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->known[i].seen && r->known[i].topic == topic)
            return true;
    return false;
}

/* The end of a topic's trouble has the sender's words, unless it goes on under another name. */
static void end_of(struct fm_reasons *r, size_t i)
{
    uint64_t topic = r->known[i].topic;
    const char *text = NULL;
    if (topic != 0 && r->way != NULL && !still_known(r, topic))
        text = fm_way_end_of(r->way, topic);
    put_item(&r->gone, text != NULL ? text : r->known[i].label);
    if (text != NULL)
        put_item(&r->ends, text);
}

static void forget(struct fm_reasons *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (!r->known[i].seen)
            end_of(r, i);
        else
            r->known[kept++] = r->known[i];
    }
    r->n = kept;
}

static void add(struct verdict *v, enum fm_health health, struct label l, const char *fmt, ...)
    FM_PRINTF(4, 5);

static void add(struct verdict *v, enum fm_health health, struct label l, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fm_utf8_cut(text);
    if (health > v->health)
        v->health = health;
    if (v->reasons++ > 0)
        fm_buf_putc(v->out, ',');
    fm_json_cstr(v->out, text);
    if (v->known != NULL)
        know(v->known, &l, text);
}

const char *fm_health_name(enum fm_health health)
{
    static const char *const names[] = {"ok", "degraded", "failing"};
    return names[health];
}

static bool holds_back(enum fm_rest_state state)
{
    return state == FM_REST_HOLD || state == FM_REST_STUCK || state == FM_REST_MISSING;
}

static const char *or_unknown(const char *text)
{
    return text[0] != '\0' ? text : "no reason known yet";
}

/* " (next try in 12 s)" */
static const char *next_try(char *out, size_t size, const struct fm_facts *facts,
                            const struct fm_rest_topic *t)
{
    int64_t left = t->next_try_ms - facts->wall_ms;
    out[0] = '\0';
    if (t->next_try_ms != 0 && left > 0)
        (void)snprintf(out, size, " (next try in %lld s)", (long long)(left + 999) / 1000);
    return out;
}

/* A trouble that the sender tells of, too. */
static struct label way_label(const struct fm_rest_topic *t, const char *what)
{
    struct label l = label(false, "topic %s: %s", t->topic, what);
    l.topic = fm_hash_text(t->topic);
    l.said = fm_hash_text(t->reason);
    return l;
}

static void judge_topic(struct verdict *v, const struct fm_facts *facts,
                        const struct fm_rest_topic *t)
{
    char next[48];
    enum fm_rest_state state = holds_back(t->state) ? t->state : t->health;
    (void)next_try(next, sizeof next, facts, t);
    if (holds_back(state))
        add(v, FM_HEALTH_FAILING, way_label(t, fm_rest_state_name(state)), "topic %s: %s: %s%s",
            t->topic, fm_rest_state_name(state), or_unknown(t->reason), next);
    else if (t->failed || t->health == FM_REST_OUTAGE)
        /* The reason names the hop itself; only where there is none yet it has to be said here. */
        add(v, FM_HEALTH_DEGRADED, way_label(t, "the last request failed"), "topic %s: %s%s",
            t->topic, t->reason[0] != '\0' ? t->reason : fm_rest_hop_name(t->hop), next);
    else if (t->state == FM_REST_PROBING && t->probing_ms != 0 &&
             facts->clock_ms - t->probing_ms >= PROBING_MS)
        add(v, FM_HEALTH_DEGRADED, label(false, "topic %s: the probe is unanswered", t->topic),
            "topic %s: the REST proxy has not answered the probe for %lld s", t->topic,
            (long long)(facts->clock_ms - t->probing_ms) / 1000);
    if (t->suspects > 0)
        add(v, FM_HEALTH_DEGRADED, label(false, "topic %s: records are set aside", t->topic),
            "topic %s: %zu record%s refused alone and set aside while others go on: %s", t->topic,
            t->suspects, t->suspects == 1 ? " was" : "s were", or_unknown(t->suspect_reason));
}

static void judge_rest(struct verdict *v, const struct fm_facts *facts)
{
    const struct fm_rest_stats *rest = facts->rest;
    if (rest == NULL)
        return;
    for (size_t i = 0; i < rest->n_topics; i++)
        judge_topic(v, facts, &rest->topics[i]);
    if (rest->n_topics_failing > rest->n_topics)
        add(v, FM_HEALTH_DEGRADED, label(false, "more topics fail"),
            "%zu of %zu topics fail; the %zu worst are named above", rest->n_topics_failing,
            rest->n_topics_total, rest->n_topics);
    for (size_t i = 0; i < rest->n_endpoints; i++) {
        const struct fm_rest_endpoint *e = &rest->endpoints[i];
        /* What a topic already said in its own words is not said twice. */
        if (holds_back(e->state) && v->health != FM_HEALTH_FAILING)
            add(v, FM_HEALTH_FAILING,
                label(false, "endpoint %.280s: %s", e->url, fm_rest_state_name(e->state)),
                "endpoint %s: %s: %s", e->url, fm_rest_state_name(e->state), or_unknown(e->reason));
    }
    int64_t waiting = rest->in_flight_since != 0 ? facts->clock_ms - rest->in_flight_since : 0;
    if (waiting >= UNANSWERED_MS)
        add(v, FM_HEALTH_DEGRADED, label(false, "a request is unanswered"),
            "the REST proxy has not answered a request for %lld s: it may wait for Kafka",
            (long long)waiting / 1000);
}

/* Damage is a loss for a minute, and for an hour something to look at. */
static void judge_damage(struct verdict *v, const struct fm_facts *facts)
{
    const struct fm_spool_stats *spool = facts->spool;
    int64_t age = facts->clock_ms - spool->last_damage_ms;
    char what[80] = "what could not be read is";
    if (spool->last_damage_ms == 0 || age >= DAMAGE_MS)
        return;
    if (facts->damaged > 0)
        (void)snprintf(what, sizeof what, "%s%llu record%s",
                       facts->damage_unknown ? "at least " : "", (unsigned long long)facts->damaged,
                       facts->damaged == 1 ? " is" : "s are");
    add(v, age < DROPPED_MS ? FM_HEALTH_FAILING : FM_HEALTH_DEGRADED,
        label(false, "the spool was damaged"),
        "the spool was damaged: %s declared lost (reason damage)%s%s%s", what,
        spool->damage[0] != '\0' ? "; the damaged files lie in " : "", spool->damage,
        spool->damage[0] != '\0' ? ", remove them when nobody needs them any more" : "");
}

static void judge_disk(struct verdict *v, const struct fm_spool_stats *spool)
{
    if (spool->error[0] != '\0' && spool->queue_records > 0)
        add(v, FM_HEALTH_FAILING, label(false, "records wait in memory, not yet on disk"),
            "%llu record%s in memory, not yet on disk, and would be lost with this process: %s",
            (unsigned long long)spool->queue_records,
            spool->queue_records == 1 ? " waits" : "s wait", spool->error);
    else if (spool->error[0] != '\0')
        add(v, FM_HEALTH_FAILING, label(false, "the spool could not commit"),
            "the spool could not commit: %s", spool->error);
    else if (spool->disk_full)
        add(v, FM_HEALTH_DEGRADED, label(false, "the disk of the spool is full"),
            "the disk of the spool is full: %.1f MiB must be free there, %.1f MiB are; until then "
            "new records take the room that delivered ones leave",
            (double)spool->disk_needed / MIB, (double)spool->disk_free / MIB);
    if (spool->removed)
        add(v, FM_HEALTH_FAILING, label(false, "the spool was removed"),
            "the spool's folder was removed or replaced under the agent: the %llu record%s that "
            "wait%s are lost with this process; let them be sent, then restart",
            (unsigned long long)spool->records, fm_plural(spool->records),
            spool->records == 1 ? "s" : "");
    else if (!spool->durable)
        add(v, FM_HEALTH_DEGRADED, label(false, "records are not durable"),
            "records are not durable: %s",
            spool->undurable != NULL ? spool->undurable : "no reason known");
}

static void judge_spool(struct verdict *v, const struct fm_facts *facts)
{
    const struct fm_spool_stats *spool = facts->spool;
    if (spool == NULL)
        return;
    if (spool->last_drop_ms != 0 && facts->clock_ms - spool->last_drop_ms < DROPPED_MS)
        add(v, FM_HEALTH_FAILING, label(false, "the spool refused or dropped records"),
            "the spool refused or dropped records in the last minute (%llu lost so far)%s",
            (unsigned long long)spool->lost_total,
            spool->error[0] != '\0' ? "" : ": raise [spool] max_size or mend the way out");
    judge_disk(v, spool);
    judge_damage(v, facts);
    if (spool->last_dead_ms != 0 && facts->clock_ms - spool->last_dead_ms < DEAD_MS)
        add(v, FM_HEALTH_DEGRADED, label(false, "records became dead letters"),
            "records became dead letters in the last hour (%llu kept): see firstmile spool dead "
            "list",
            (unsigned long long)spool->dead_records);
}

static void judge_targets(struct verdict *v, const struct fm_facts *facts)
{
    size_t down = 0;
    for (size_t i = 0; i < facts->n_targets; i++) {
        const struct fm_poll_status *t = &facts->targets[i];
        if ((t->state != FM_POLL_DOWN && !t->absent) || down++ >= TARGETS_SHOWN)
            continue;
        /* A JVM that is not there is no better than one that is down. */
        const char *how = t->absent ? "is not there" : "is down";
        add(v, FM_HEALTH_DEGRADED, label(true, "target %.290s %s", t->name, how),
            "target %s %s: %s", t->name, how, t->error != NULL ? t->error : "no reason known yet");
    }
    if (down > TARGETS_SHOWN)
        add(v, FM_HEALTH_DEGRADED, label(true, "more targets are down"), "%zu more target%s down",
            down - TARGETS_SHOWN, down - TARGETS_SHOWN == 1 ? " is" : "s are");
    for (size_t i = 0; i < facts->n_files; i++)
        if (facts->files[i].error != NULL)
            add(v, FM_HEALTH_DEGRADED,
                label(true, "target %.280s: its targets_file", facts->files[i].section),
                "target %s: %s (%zu target%s in force)", facts->files[i].section,
                facts->files[i].error, facts->files[i].targets, fm_plural(facts->files[i].targets));
}

static void note_certs(const struct fm_facts *facts, size_t begin, struct fm_buf *out)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    for (size_t i = 0; facts->rest != NULL && i <= facts->rest->n_endpoints; i++) {
        fm_buf_reset(&text);
        if (fm_cert_look(facts->rest, facts->cert_file, i, &text) == FM_CERT_GOOD)
            continue;
        fm_buf_puts(out, out->len > begin ? "," : "");
        fm_json_cstr(out, fm_buf_str(&text));
    }
    fm_buf_clear(&text);
}

/* What is no fault but should be known. */
static void put_notes(const struct fm_facts *facts, struct fm_buf *out)
{
    size_t begin = out->len;
    char text[240];
    if (facts->sandbox)
        fm_json_cstr(out, "[rest] url = sandbox: records go to the sandbox inside this process, "
                          "nothing leaves the host");
    if (facts->restart_keys != NULL) {
        (void)snprintf(text, sizeof text, "%s changed and waits for a restart",
                       facts->restart_keys);
        fm_buf_puts(out, out->len > begin ? "," : "");
        fm_json_cstr(out, text);
    }
    note_certs(facts, begin, out);
    if (facts->rest != NULL && facts->rest->batches == 0) {
        fm_buf_puts(out, out->len > begin ? "," : "");
        fm_json_cstr(out, "nothing was sent yet: the way out is untried");
    }
}

enum fm_health fm_document_health(const struct fm_facts *facts, struct fm_buf *out,
                                  struct fm_reasons *known)
{
    struct fm_buf reasons;
    fm_buf_init(&reasons, 0);
    struct verdict v = {.out = &reasons, .known = known};
    if (known != NULL) {
        fm_buf_reset(&known->joined);
        fm_buf_reset(&known->gone);
        fm_buf_reset(&known->ends);
        known->news = 0;
        for (size_t i = 0; i < known->n; i++)
            known->known[i].seen = false;
    }
    judge_rest(&v, facts);
    judge_spool(&v, facts);
    judge_targets(&v, facts);
    if (facts->reload_error != NULL)
        add(&v, FM_HEALTH_DEGRADED, label(true, "the last reload changed nothing"),
            "the last reload changed nothing: %s", facts->reload_error);
    if (known != NULL)
        forget(known);
    fm_buf_puts(out, "{\"status\":");
    fm_json_cstr(out, fm_health_name(v.health));
    fm_buf_puts(out, ",\"reasons\":[");
    fm_buf_put(out, reasons.data, reasons.len);
    fm_buf_puts(out, "],\"notes\":[");
    put_notes(facts, out);
    fm_buf_puts(out, "],\"agent\":");
    fm_json_cstr(out, facts->name);
    fm_buf_puts(out, ",\"version\":");
    fm_json_cstr(out, FM_VERSION);
    fm_buf_printf(out, ",\"stopping\":%s,\"time_ms\":%lld}", facts->stopping ? "true" : "false",
                  (long long)facts->wall_ms);
    fm_buf_clear(&reasons);
    return v.health;
}
