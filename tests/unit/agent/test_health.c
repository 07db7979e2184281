#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/document.h"
#include "base/clock.h"

/* Facts of an agent that is well; each test spoils one of them. */
struct world {
    struct fm_rest_stats rest;
    struct fm_spool_stats spool;
    struct fm_poll_status target;
    struct fm_facts facts;
    struct fm_buf out;
};

static void well(struct world *w)
{
    *w = (struct world){.spool = {.durable = true}};
    w->rest.n_topics = 1;
    memcpy(w->rest.topics[0].topic, "jmx", 4);
    w->rest.topics[0].state = w->rest.topics[0].health = FM_REST_RUN;
    w->rest.n_endpoints = 1;
    w->rest.endpoints[0] = (struct fm_rest_endpoint){
        .url = "https://r", .current = true, .state = FM_REST_RUN, .cert_days = -1};
    w->rest.client_cert_days = -1;
    w->target = (struct fm_poll_status){
        .name = "orders", .url = "h:1", .state = FM_POLL_UP, .state_name = "up"};
    w->facts = (struct fm_facts){
        .name = "edge",
        .wall_ms = 1000000,
        .clock_ms = 1000000000,
        .rest = &w->rest,
        .spool = &w->spool,
        .targets = &w->target,
        .n_targets = 1,
    };
    fm_buf_init(&w->out, 0);
}

static void expect(struct world *w, enum fm_health health, const char *sentence)
{
    fm_buf_reset(&w->out);
    enum fm_health got = fm_document_health(&w->facts, &w->out, NULL);
    const char *text = fm_buf_str(&w->out);
    cr_expect_eq(got, health, "%s instead of %s: %s", fm_health_name(got), fm_health_name(health),
                 text);
    if (sentence != NULL)
        cr_expect(strstr(text, sentence) != NULL, "no \"%s\" in %s", sentence, text);
    fm_buf_clear(&w->out);
}

Test(health, is_ok_without_reasons)
{
    struct world w;
    well(&w);
    expect(&w, FM_HEALTH_OK, "\"reasons\":[]");
}

Test(health, fails_while_a_topic_is_held_missing_or_stuck)
{
    static const enum fm_rest_state states[] = {FM_REST_HOLD, FM_REST_MISSING, FM_REST_STUCK};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        well(&w);
        w.rest.topics[0].state = states[i];
        memcpy(w.rest.topics[0].reason, "create topic jmx", 17);
        expect(&w, FM_HEALTH_FAILING, "create topic jmx");
        /* PROBING after such a state keeps its health */
        well(&w);
        w.rest.topics[0].state = FM_REST_PROBING;
        w.rest.topics[0].health = states[i];
        expect(&w, FM_HEALTH_FAILING, NULL);
    }
}

Test(health, is_degraded_while_the_last_request_failed)
{
    struct world w;
    well(&w);
    w.rest.topics[0].failed = true;
    w.rest.topics[0].hop = FM_REST_HOP_TCP;
    expect(&w, FM_HEALTH_DEGRADED, "topic jmx: TCP\"");
    /* The sender's sentence begins with the hop; it is not said twice. */
    memcpy(w.rest.topics[0].reason, "TCP: the REST proxy cannot be reached", 38);
    expect(&w, FM_HEALTH_DEGRADED, "topic jmx: TCP: the REST proxy");
}

Test(health, waits_eight_seconds_for_an_answer)
{
    struct world w;
    well(&w);
    w.rest.in_flight_since = w.facts.clock_ms - 7999;
    expect(&w, FM_HEALTH_OK, NULL);
    w.rest.in_flight_since = w.facts.clock_ms - 8000;
    expect(&w, FM_HEALTH_DEGRADED, "has not answered a request for 8 s");
}

Test(health, waits_ten_seconds_for_a_probe)
{
    struct world w;
    well(&w);
    w.rest.topics[0].state = w.rest.topics[0].health = FM_REST_PROBING;
    w.rest.topics[0].probing_ms = w.facts.clock_ms - 9999;
    expect(&w, FM_HEALTH_OK, NULL);
    w.rest.topics[0].probing_ms = w.facts.clock_ms - 10000;
    expect(&w, FM_HEALTH_DEGRADED, "probe");
}

Test(health, names_suspects_dead_letters_and_targets_that_are_down)
{
    struct world w;
    well(&w);
    w.rest.topics[0].suspects = 2;
    memcpy(w.rest.topics[0].suspect_reason, "code 50002", 11);
    expect(&w, FM_HEALTH_DEGRADED, "2 records");
    expect(&w, FM_HEALTH_DEGRADED, "others go on: code 50002");
    well(&w);
    w.rest.n_topics_total = 72;
    w.rest.n_topics_failing = 40;
    expect(&w, FM_HEALTH_DEGRADED, "40 of 72 topics fail");
    well(&w);
    w.spool.last_dead_ms = w.facts.clock_ms - 3599999;
    expect(&w, FM_HEALTH_DEGRADED, "dead letters");
    w.spool.last_dead_ms = w.facts.clock_ms - 3600000;
    expect(&w, FM_HEALTH_OK, NULL);
    well(&w);
    w.target.state = FM_POLL_DOWN;
    w.target.error = "connection refused";
    expect(&w, FM_HEALTH_DEGRADED, "orders is down: connection refused");
    well(&w);
    w.target.state = FM_POLL_EMPTY;
    w.target.error = "no JVM here matches local:x";
    expect(&w, FM_HEALTH_OK, NULL);
    w.target.absent = true;
    expect(&w, FM_HEALTH_DEGRADED, "orders is not there: no JVM here matches local:x");
    well(&w);
    struct fm_poll_files files = {.section = "fleet", .path = "f.json", .targets = 3};
    w.facts.files = &files;
    w.facts.n_files = 1;
    expect(&w, FM_HEALTH_OK, NULL);
    files.error = "f.json:2:1: no JSON";
    expect(&w, FM_HEALTH_DEGRADED, "fleet: f.json:2:1: no JSON (3 targets in force)");
}

Test(health, fails_for_a_minute_after_a_drop_and_is_degraded_without_durability)
{
    struct world w;
    well(&w);
    w.spool.last_drop_ms = w.facts.clock_ms - 59999;
    expect(&w, FM_HEALTH_FAILING, "dropped");
    w.spool.last_drop_ms = w.facts.clock_ms - 60000;
    expect(&w, FM_HEALTH_OK, NULL);
    w.spool.durable = false;
    w.spool.undurable = "because";
    expect(&w, FM_HEALTH_DEGRADED, "records are not durable: because\"");
    w.spool.removed = true;
    w.spool.records = 342;
    expect(&w, FM_HEALTH_FAILING, "was removed or replaced under the agent: the 342 records");
}

Test(health, fails_for_a_minute_after_damage_and_tells_of_it_for_an_hour)
{
    struct world w;
    well(&w);
    memcpy(w.spool.damage, "/s/damaged-1", 13);
    expect(&w, FM_HEALTH_OK, NULL); /* of another run: spool status shows it */
    w.spool.last_damage_ms = w.facts.clock_ms - 59999;
    expect(&w, FM_HEALTH_FAILING, "the damaged files lie in /s/damaged-1");
    w.spool.last_damage_ms = w.facts.clock_ms - 60000;
    expect(&w, FM_HEALTH_DEGRADED, "declared lost (reason damage)");
    w.spool.last_damage_ms = w.facts.clock_ms - 3600000;
    expect(&w, FM_HEALTH_OK, NULL);
}

Test(health, counts_what_damage_cost)
{
    struct world w;
    well(&w);
    w.spool.last_damage_ms = w.facts.clock_ms;
    expect(&w, FM_HEALTH_FAILING, "damaged: what could not be read is declared lost");
    w.facts.damaged = 1;
    expect(&w, FM_HEALTH_FAILING, "damaged: 1 record is declared lost");
    w.facts.damaged = 502;
    expect(&w, FM_HEALTH_FAILING, "damaged: 502 records are declared lost");
    w.facts.damage_unknown = true;
    expect(&w, FM_HEALTH_FAILING, "damaged: at least 502 records are declared lost");
}

Test(health, says_when_the_next_try_is)
{
    struct world w;
    well(&w);
    w.rest.topics[0].failed = true;
    memcpy(w.rest.topics[0].reason, "TCP: refused", 13);
    expect(&w, FM_HEALTH_DEGRADED, "topic jmx: TCP: refused\"");
    w.rest.topics[0].next_try_ms = w.facts.wall_ms + 11001;
    expect(&w, FM_HEALTH_DEGRADED, "topic jmx: TCP: refused (next try in 12 s)\"");
    fm_document_stats(&w.facts, &w.out);
    cr_expect_not_null(strstr(fm_buf_str(&w.out), "\"next_try_ms\":1011001"));
    fm_buf_clear(&w.out);
    w.rest.topics[0].next_try_ms = w.facts.wall_ms; /* now */
    expect(&w, FM_HEALTH_DEGRADED, "topic jmx: TCP: refused\"");
    w.rest.topics[0].state = FM_REST_HOLD;
    w.rest.topics[0].next_try_ms = w.facts.wall_ms + 1;
    expect(&w, FM_HEALTH_FAILING, "topic jmx: hold: TCP: refused (next try in 1 s)\"");
}

static void expect_told(struct world *w, struct fm_reasons *r, const char *joined, size_t news,
                        const char *gone)
{
    fm_buf_reset(&w->out);
    (void)fm_document_health(&w->facts, &w->out, r);
    cr_expect_str_eq(fm_buf_str(&r->joined), joined);
    cr_expect_str_eq(fm_buf_str(&r->gone), gone);
    cr_expect_eq(r->news, news);
}

/* What the log makes of it: each reason once when it joins and once when it ends. */
Test(health, knows_which_reasons_are_new_and_which_have_ended)
{
    struct world w;
    static struct fm_reasons r;
    well(&w);
    expect_told(&w, &r, "", 0, "");
    w.target.state = FM_POLL_DOWN; /* the poll has logged why */
    w.target.error = "refused";
    expect_told(&w, &r, "target orders is down", 0, "");
    w.target.error = "no route";
    expect_told(&w, &r, "", 0, "");
    w.rest.topics[0].failed = true;
    memcpy(w.rest.topics[0].reason, "TCP: refused", 13);
    w.spool.durable = false;
    w.spool.undurable = "because";
    expect_told(&w, &r, "topic jmx: TCP: refused; records are not durable: because", 2, "");
    memcpy(w.rest.topics[0].reason, "TLS: expired", 13);
    expect_told(&w, &r, "", 0, "");
    w.spool.durable = true;
    w.target.state = FM_POLL_UP;
    expect_told(&w, &r, "", 0, "target orders is down; records are not durable");
    w.rest.topics[0].failed = false;
    expect_told(&w, &r, "", 0, "topic jmx: the last request failed");
    w.target.state = FM_POLL_DOWN;
    expect_told(&w, &r, "target orders is down", 0, "");
    fm_buf_clear(&r.joined);
    fm_buf_clear(&r.gone);
    fm_buf_clear(&w.out);
}

Test(health, says_how_many_records_are_not_on_the_disk)
{
    struct world w;
    well(&w);
    w.spool.queue_records = 1;
    expect(&w, FM_HEALTH_OK, NULL); /* until the next commit */
    memcpy(w.spool.error, "the disk is full", 17);
    expect(&w, FM_HEALTH_FAILING, "1 record waits in memory, not yet on disk");
    w.spool.queue_records = 70;
    expect(&w, FM_HEALTH_FAILING,
           "70 records wait in memory, not yet on disk, and would be lost with this process: the "
           "disk is full");
    w.spool.disk_full = true;
    expect(&w, FM_HEALTH_FAILING, NULL);
    w.spool.error[0] = '\0';
    w.spool.disk_needed = 10 << 20;
    w.spool.disk_free = 5 << 19;
    expect(&w, FM_HEALTH_DEGRADED,
           "the disk of the spool is full: 10.0 MiB must be free there, 2.5 MiB are");
    fm_document_stats(&w.facts, &w.out);
    cr_expect(strstr(fm_buf_str(&w.out), "\"queue_records\":70,\"disk_full\":true") != NULL);
    fm_buf_reset(&w.out);
    fm_document_metrics(&w.facts, &w.out);
    cr_expect(strstr(fm_buf_str(&w.out), "\nfirstmile_spool_unstored_records 70\n") != NULL);
    fm_buf_clear(&w.out);
}

Test(health, fails_while_the_spool_cannot_commit)
{
    struct world w;
    well(&w);
    memcpy(w.spool.error, "No space left on device", 24);
    expect(&w, FM_HEALTH_FAILING, "could not commit: No space left on device");
}

Test(health, says_that_the_sandbox_keeps_everything_here_without_calling_it_ill)
{
    struct world w;
    well(&w);
    w.facts.sandbox = true;
    expect(&w, FM_HEALTH_OK, "nothing leaves the host");
}

Test(documents, escape_hostile_names_in_labels_and_json)
{
    struct world w;
    well(&w);
    w.target.name = "a\"b\\c\nd\te\x01<script>";
    fm_document_metrics(&w.facts, &w.out);
    const char *text = fm_buf_str(&w.out);
    cr_expect(strstr(text, "firstmile_target_up{target=\"a\\\"b\\\\c\\nd e <script>\"} 1\n") !=
                  NULL,
              "%s", text);
    fm_buf_reset(&w.out);
    fm_document_stats(&w.facts, &w.out);
    cr_expect(strstr(fm_buf_str(&w.out), "a\\\"b\\\\c\\nd\\te\\u0001<script>") != NULL);
    fm_buf_clear(&w.out);
}

/* ---- what the sender says, and what /health says of the same ---- */

static void say(struct fm_way *way, const char *topic, const char *reason, bool over)
{
    char text[400];
    (void)snprintf(text, sizeof text, over ? "topic %s: over" : "topic %s: outage: %s", topic,
                   reason);
    const struct fm_rest_way what = {
        .topic = topic, .text = text, .reason = over ? "" : reason, .over = over};
    fm_way_say(way, &what);
}

struct heard {
    struct world w;
    struct fm_way way;
    struct fm_reasons r;
    int fds[2];
    char log[4096];
};

static struct heard *hear(void)
{
    struct heard *h = calloc(1, sizeof *h);
    cr_assert_not_null(h);
    well(&h->w);
    fm_way_init(&h->way);
    h->r.way = &h->way;
    cr_assert_eq(pipe2(h->fds, O_NONBLOCK | O_CLOEXEC), 0);
    cr_assert_eq(fm_log_new(&h->way.log, h->fds[1], FM_LOG_INFO, FM_LOG_TEXT, NULL), FM_OK);
    return h;
}

/* A rendering so long after now. @return whether something is still held; log has what was said */
static bool render(struct heard *h, int64_t later_ms)
{
    fm_buf_reset(&h->w.out);
    fm_way_take(&h->way);
    (void)fm_document_health(&h->w.facts, &h->w.out, &h->r);
    bool held = fm_way_settle(&h->way, &h->r, fm_clock_ms() + later_ms);
    ssize_t n = read(h->fds[0], h->log, sizeof h->log - 1);
    h->log[n > 0 ? n : 0] = '\0';
    return held;
}

static void unhear(struct heard *h)
{
    fm_way_clear(&h->way);
    fm_log_free(h->way.log);
    (void)close(h->fds[0]);
    (void)close(h->fds[1]);
    fm_buf_clear(&h->r.joined);
    fm_buf_clear(&h->r.gone);
    fm_buf_clear(&h->r.ends);
    fm_buf_clear(&h->w.out);
    free(h);
}

enum { LATER_MS = 60000 };

static void fail_way(struct heard *h, const char *reason)
{
    h->w.rest.topics[0].failed = reason != NULL;
    (void)snprintf(h->w.rest.topics[0].reason, sizeof h->w.rest.topics[0].reason, "%s",
                   reason != NULL ? reason : "");
}

Test(way, says_a_trouble_and_its_end_once_whoever_is_first)
{
    for (int sender_first = 0; sender_first <= 1; sender_first++) {
        struct heard *h = hear();
        cr_expect(!render(h, 0));
        if (sender_first) {
            say(&h->way, "jmx", "TCP: refused", false);
            cr_expect(render(h, 0), "/health will say it");
        }
        fail_way(h, "TCP: refused");
        cr_expect(!render(h, 0));
        cr_expect_str_eq(fm_buf_str(&h->r.joined), "topic jmx: TCP: refused");
        cr_expect_eq(h->r.news, 1);
        if (!sender_first)
            say(&h->way, "jmx", "TCP: refused", false);
        cr_expect(!render(h, LATER_MS));
        cr_expect_str_eq(h->log, "");
        say(&h->way, "jmx", NULL, true);
        cr_expect(render(h, 0), "/health has not ended it yet");
        fail_way(h, NULL);
        cr_expect(!render(h, 0));
        cr_expect_str_eq(fm_buf_str(&h->r.gone), "topic jmx: over");
        cr_expect_str_eq(fm_buf_str(&h->r.ends), "topic jmx: over");
        cr_expect_str_eq(h->log, "");
        unhear(h);
    }
}

Test(way, leaves_nothing_out_that_health_does_not_say)
{
    struct heard *h = hear();
    say(&h->way, "brief", "TCP: refused", false); /* it ends before a rendering */
    say(&h->way, "brief", NULL, true);
    cr_expect(render(h, 0));
    cr_expect_not_null(strstr(h->log, "info  topic brief: over"), "%s", h->log);
    cr_expect(!render(h, LATER_MS));
    cr_expect_not_null(strstr(h->log, "warn  topic brief: outage: TCP: refused"), "%s", h->log);
    fail_way(h, "TCP: refused");
    cr_expect(!render(h, 0));
    say(&h->way, "jmx", "TLS: expired", false); /* another reason, while it lasts */
    cr_expect(!render(h, LATER_MS));
    cr_expect_not_null(strstr(h->log, "warn  topic jmx: outage: TLS: expired"), "%s", h->log);
    say(&h->way, "jmx", NULL, true); /* and /health goes on, for whatever reason */
    cr_expect(!render(h, LATER_MS));
    cr_expect_not_null(strstr(h->log, "info  topic jmx: over"), "%s", h->log);
    for (int i = 0; i < 3 * FM_WAY_LINES; i++) { /* more than are held */
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t%d", i);
        say(&h->way, topic, "TCP: refused", false);
    }
    fm_way_flush(&h->way);
    cr_expect(!render(h, 0));
    for (int i = 0; i < 3 * FM_WAY_LINES; i++) {
        char line[40];
        (void)snprintf(line, sizeof line, "topic t%d: outage: ", i);
        const char *at = strstr(h->log, line);
        cr_assert_not_null(at, "%s", line);
        cr_expect_null(strstr(at + 1, line), "%s twice", line);
    }
    unhear(h);
}

/* The trouble changes its name (outage, hold): its end is not told before all of it is over. */
Test(way, a_trouble_under_another_name_goes_on)
{
    struct heard *h = hear();
    fail_way(h, "TCP: refused");
    (void)render(h, 0);
    h->w.rest.topics[0].state = FM_REST_HOLD;
    say(&h->way, "jmx", "TCP: refused", false);
    cr_expect(!render(h, LATER_MS));
    cr_expect_str_eq(fm_buf_str(&h->r.joined), "topic jmx: hold: TCP: refused");
    cr_expect_str_eq(fm_buf_str(&h->r.gone), "topic jmx: the last request failed");
    cr_expect_str_eq(h->log, "");
    h->w.rest.topics[0].state = FM_REST_RUN;
    fail_way(h, NULL);
    say(&h->way, "jmx", NULL, true);
    cr_expect(!render(h, 0));
    cr_expect_str_eq(fm_buf_str(&h->r.gone), "topic jmx: over");
    unhear(h);
}

/* The longest names, alike but for their last letter. */
Test(health, tells_long_names_apart)
{
    struct heard *h = hear();
    char name[250];
    memset(name, 'n', sizeof name);
    name[249] = '\0';
    struct fm_rest_topic *topics = h->w.rest.topics;
    for (int i = 0; i < 2; i++) {
        name[248] = (char)('a' + i);
        topics[i].failed = true;
        (void)snprintf(topics[i].topic, sizeof topics[i].topic, "%s", name);
        (void)snprintf(topics[i].reason, sizeof topics[i].reason, "TCP: refused");
    }
    h->w.rest.n_topics = 2;
    (void)render(h, 0);
    cr_expect_eq(h->r.news, 2);
    topics[1].failed = false;
    topics[1].reason[0] = '\0';
    (void)render(h, 0);
    cr_expect_not_null(strstr(fm_buf_str(&h->r.gone), name), "%s", fm_buf_str(&h->r.gone));
    cr_expect_eq(h->r.n, 1);
    struct fm_poll_status targets[2] = {h->w.target, h->w.target};
    char other[250];
    memcpy(other, name, sizeof other);
    other[248] = 'z';
    targets[0].name = name;
    targets[1].name = other;
    targets[0].state = targets[1].state = FM_POLL_DOWN;
    h->w.facts.targets = targets;
    h->w.facts.n_targets = 2;
    (void)render(h, 0);
    cr_expect_eq(h->r.n, 3);
    unhear(h);
}
