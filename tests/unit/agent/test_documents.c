/* Every number of /stats and /metrics comes from its own source: the facts are filled with numbers
 * of which no two are alike. What moves the sources is listed in tests/README.md. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/document.h"
#include "base/hist.h"

static struct fm_rest_stats rest;
static struct fm_spool_stats spool;
static struct fm_hist latency;
static struct fm_poll_query_status query;
static struct fm_poll_status target;
static struct fm_poll_files files;
static struct fm_facts facts;
static struct fm_buf out;

static void fill(void)
{
    rest = (struct fm_rest_stats){.records = 1001,
                                  .batches = 1002,
                                  .bytes = 1003,
                                  .retries = 1004,
                                  .possible_duplicates = 1005,
                                  .dead = 1006,
                                  .suspects = 1007,
                                  .client_cert_days = 1008,
                                  .n_endpoints = 1,
                                  .n_topics = 1,
                                  .token = {.used = true,
                                            .fetched = 1010,
                                            .failures = 1011,
                                            .expires_ms = 1012,
                                            .error = "token"},
                                  .effective_proxy = "proxy:3128"};
    rest.last_send = (struct fm_rest_last_send){.time_ms = 1021,
                                                .endpoint = "https://r",
                                                .topic = "jmx",
                                                .http_status = 1022,
                                                .records = 1023,
                                                .bytes = 1024,
                                                .duration_ms = 1025.5,
                                                .error = "said"};
    rest.endpoints[0] = (struct fm_rest_endpoint){.url = "https://r",
                                                  .current = true,
                                                  .state = FM_REST_HOLD,
                                                  .since_ms = 1031,
                                                  .cert_days = 1032,
                                                  .gzip = FM_REST_GZIP_REFUSED,
                                                  .reason = "held"};
    rest.topics[0] =
        (struct fm_rest_topic){.topic = "jmx", .state = FM_REST_ONE, .next_try_ms = 1041};
    spool = (struct fm_spool_stats){.records = 2001,
                                    .bytes = 2002,
                                    .disk_bytes = 2003,
                                    .oldest_ms = 2004,
                                    .durable = true,
                                    .dead_records = 2005,
                                    .dead_bytes = 2006,
                                    .lost_total = 2007,
                                    .queue_bytes = 2008,
                                    .commits = 2009,
                                    .commit_failures = 2010,
                                    .error = "full",
                                    .n_streams = 1};
    spool.streams[0] = (struct fm_spool_stream){.stream = "00000000000000aa",
                                                .topic = "jmx",
                                                .assigned = 2021,
                                                .delivered = 2022,
                                                .pending = 2023,
                                                .lost = 2024,
                                                .dead = 2025};
    query = (struct fm_poll_query_status){.name = "q",
                                          .matched = 3001,
                                          .beans = 3002,
                                          .asked = 3003,
                                          .attributes = 3004,
                                          .errors = 3005,
                                          .bytes = 3006,
                                          .duration_ms = 3007.5,
                                          .cut = true};
    target = (struct fm_poll_status){.name = "orders",
                                     .url = "h:1",
                                     .state = FM_POLL_UP,
                                     .state_name = "up",
                                     .state_ms = 3011,
                                     .time_ms = 3012,
                                     .duration_ms = 3013.5,
                                     .late_ms = 3014,
                                     .bytes = 3015,
                                     .bytes_out = 3016,
                                     .round_trips = 3017,
                                     .cut = true,
                                     .beans = 3018,
                                     .attributes = 3019,
                                     .errors = 3020,
                                     .polls = 3021,
                                     .failed = 3022,
                                     .missed = 3023,
                                     .queries = &query,
                                     .n_queries = 1};
    files = (struct fm_poll_files){
        .section = "fleet", .path = "x.json", .files = 4001, .targets = 4002, .read_ms = 4003};
    facts = (struct fm_facts){.name = "edge",
                              .started_ms = 5001,
                              .wall_ms = 9000004,
                              .clock_ms = 1000000,
                              .rss_bytes = 5002,
                              .log_dropped = 5003,
                              .http_open = 5004,
                              .http_evicted = 5005,
                              .rest = &rest,
                              .latency = &latency,
                              .spool = &spool,
                              .targets = &target,
                              .n_targets = 1,
                              .files = &files,
                              .n_files = 1};
    fm_hist_add(&latency, 1500000);
    fm_hist_add(&latency, 250000);
    fm_buf_init(&out, 0);
}

static void empty(void)
{
    fm_buf_clear(&out);
}

TestSuite(document, .init = fill, .fini = empty);

/* The value at a path such as "a/b/0/c". */
static const json_t *at(const json_t *root, const char *path)
{
    char copy[200], *rest_of = NULL;
    (void)snprintf(copy, sizeof copy, "%s", path);
    for (char *part = strtok_r(copy, "/", &rest_of); part != NULL && root != NULL;
         part = strtok_r(NULL, "/", &rest_of))
        root = json_is_array(root) ? json_array_get(root, strtoul(part, NULL, 10))
                                   : json_object_get(root, part);
    return root;
}

Test(document, stats_shows_each_number_in_its_place)
{
    static const struct {
        const char *path;
        double want;
    } rows[] = {
        {"agent/started_ms", 5001},
        {"agent/rss_bytes", 5002},
        {"agent/log_dropped", 5003},
        {"agent/http_connections", 5004},
        {"agent/http_evicted", 5005},
        {"agent/time_ms", 9000004},
        {"last_send/time_ms", 1021},
        {"last_send/http_status", 1022},
        {"last_send/records", 1023},
        {"last_send/bytes", 1024},
        {"last_send/duration_ms", 1025.5},
        {"totals/records", 1001},
        {"totals/batches", 1002},
        {"totals/bytes", 1003},
        {"totals/retries", 1004},
        {"totals/possible_duplicates", 1005},
        {"totals/dead", 1006},
        {"totals/lost", 2007},
        {"accounting/00000000000000aa/assigned", 2021},
        {"accounting/00000000000000aa/delivered", 2022},
        {"accounting/00000000000000aa/pending", 2023},
        {"accounting/00000000000000aa/lost", 2024},
        {"accounting/00000000000000aa/dead", 2025},
        {"spool/records", 2001},
        {"spool/bytes", 2002},
        {"spool/disk_bytes", 2003},
        {"spool/oldest_ms", 2004},
        {"spool/suspects", 1007},
        {"endpoints/0/next_try_ms", 1041},
        {"spool/dead_records", 2005},
        {"spool/dead_bytes", 2006},
        {"spool/queue_bytes", 2008},
        {"spool/commits", 2009},
        {"spool/commit_failures", 2010},
        {"endpoints/0/since_ms", 1031},
        {"endpoints/0/cert_days", 1032},
        {"client_cert_days", 1008},
        {"oauth2/fetched", 1010},
        {"oauth2/failures", 1011},
        {"oauth2/expires_ms", 1012},
        {"targets/0/since_ms", 3011},
        {"targets/0/last_poll/time_ms", 3012},
        {"targets/0/last_poll/duration_ms", 3013.5},
        {"targets/0/last_poll/late_ms", 3014},
        {"targets/0/last_poll/bytes", 3015},
        {"targets/0/last_poll/bytes_out", 3016},
        {"targets/0/last_poll/round_trips", 3017},
        {"targets/0/beans", 3018},
        {"targets/0/attributes", 3019},
        {"targets/0/errors", 3020},
        {"targets/0/polls", 3021},
        {"targets/0/failed", 3022},
        {"targets/0/missed", 3023},
        {"targets/0/queries/0/matched", 3001},
        {"targets/0/queries/0/beans", 3002},
        {"targets/0/queries/0/asked", 3003},
        {"targets/0/queries/0/attributes", 3004},
        {"targets/0/queries/0/errors", 3005},
        {"targets/0/queries/0/bytes", 3006},
        {"targets/0/queries/0/duration_ms", 3007.5},
        {"targets_files/0/files", 4001},
        {"targets_files/0/targets", 4002},
        {"targets_files/0/read_ms", 4003},
    };
    static const char *const texts[][2] = {{"agent/name", "edge"},
                                           {"last_send/error", "said"},
                                           {"spool/error", "full"},
                                           {"endpoints/0/state", "hold"},
                                           {"endpoints/0/compression", "refused"},
                                           {"endpoints/0/reason", "held"},
                                           {"endpoints/0/topics/jmx", "one"},
                                           {"http_proxy", "proxy:3128"},
                                           {"oauth2/error", "token"},
                                           {"targets/0/state", "up"}};
    fm_document_stats(&facts, &out);
    json_t *root = json_loads(fm_buf_str(&out), 0, NULL);
    cr_assert_not_null(root, "%s", fm_buf_str(&out));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(json_number_value(at(root, rows[i].path)), rows[i].want, "%s is %f",
                     rows[i].path, json_number_value(at(root, rows[i].path)));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = json_string_value(at(root, texts[i][0]));
        cr_expect(text != NULL && strcmp(text, texts[i][1]) == 0, "%s is %s", texts[i][0],
                  text != NULL ? text : "null");
    }
    cr_expect(json_is_true(at(root, "spool/durable")));
    cr_expect(json_is_true(at(root, "targets/0/cut")));
    cr_expect(json_is_true(at(root, "targets/0/queries/0/cut")));
    json_decref(root);
}

Test(document, metrics_shows_each_number_in_its_place)
{
    static const char *const lines[] = {
        "health 2",
        "start_time_seconds 5.001",
        "resident_memory_bytes 5002",
        "log_lines_dropped_total 5003",
        "http_connections 5004",
        "http_evicted_total 5005",
        "records_sent_total 1001",
        "batches_total 1002",
        "sent_bytes_total 1003",
        "retries_total 1004",
        "possible_duplicates_total 1005",
        "dead_letters_total 1006",
        "suspects 1007",
        "topic_state{topic=\"jmx\",state=\"one\"} 1",
        "endpoint_certificate_days{endpoint=\"https://r\"} 1032",
        "send_duration_seconds_bucket{le=\"+Inf\"} 2",
        "send_duration_seconds_sum 1.750000",
        "send_duration_seconds_count 2",
        "spool_records 2001",
        "spool_bytes 2002",
        "spool_disk_bytes 2003",
        "spool_durable 1",
        "spool_commits_total 2009",
        "spool_commit_failures_total 2010",
        "spool_oldest_age_seconds 8998",
        "stream_assigned_total{stream=\"00000000000000aa\",topic=\"jmx\"} 2021",
        "stream_delivered_total{stream=\"00000000000000aa\",topic=\"jmx\"} 2022",
        "stream_pending{stream=\"00000000000000aa\",topic=\"jmx\"} 2023",
        "stream_lost_total{stream=\"00000000000000aa\",topic=\"jmx\"} 2024",
        "stream_dead{stream=\"00000000000000aa\",topic=\"jmx\"} 2025",
        "target_up{target=\"orders\"} 1",
        "target_polls_total{target=\"orders\"} 3021",
        "target_polls_failed_total{target=\"orders\"} 3022",
        "target_polls_missed_total{target=\"orders\"} 3023",
        "target_poll_duration_seconds{target=\"orders\"} 3.0135",
        "target_beans{target=\"orders\"} 3018",
        "target_attributes{target=\"orders\"} 3019",
        "target_attribute_errors_total{target=\"orders\"} 3020",
        "target_poll_bytes{target=\"orders\"} 3015",
        "target_cut{target=\"orders\"} 1",
    };
    rest.topics[0].health = FM_REST_HOLD;
    fm_document_metrics(&facts, &out);
    const char *text = fm_buf_str(&out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[200];
        (void)snprintf(line, sizeof line, "\nfirstmile_%s\n", lines[i]);
        cr_expect(strstr(text, line) != NULL, "no %s in %s", lines[i], text);
    }
}

/* Each metric has its help and its type once, and counters are called so. */
Test(document, metrics_are_declared_once_and_named_by_their_type)
{
    fm_document_metrics(&facts, &out);
    const char *text = fm_buf_str(&out);
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, "# TYPE ")) != NULL; p += 7, n++) {
        char name[100], type[20], declared[120];
        cr_assert_eq(sscanf(p, "# TYPE %99s %19s", name, type), 2);
        (void)snprintf(declared, sizeof declared, "# TYPE %s ", name);
        cr_expect(strstr(text, declared) == p, "%s is declared twice", name);
        size_t len = strlen(name);
        bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;
        cr_expect_eq(total, strcmp(type, "counter") == 0, "%s is a %s", name, type);
    }
    cr_expect_geq(n, 35, "%zu", n);
}
