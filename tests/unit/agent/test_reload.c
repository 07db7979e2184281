#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_priv.h"

/* An agent with all that a reload touches; its threads for polling and sending are not started. */
struct world {
    struct fm_agent agent;
    struct fm_agent_opts opts;
    char folder[64], file[96];
    const char *url; /* [rest] url, in files written from now on */
    struct fm_chunk *chunk; /* what the last record went into */
};

static const char tail[] = "topic = jmx.${agent}\n[record]\nkey = ${agent}\ntags = a=${agent}\n"
                           "headers = from=${agent}\n[target:t]\nurl = 127.0.0.1:1\n";

static void write_file(const struct world *w, const char *agent, const char *spool,
                       const char *http)
{
    FILE *out = fopen(w->file, "w");
    cr_assert_not_null(out);
    (void)fprintf(out, "[agent]\n%s[spool]\n%s[http]\n%s[rest]\nurl = %s\n%s", agent, spool, http,
                  w->url, tail);
    cr_assert_eq(fchmod(fileno(out), 0600), 0); /* it may hold a password */
    (void)fclose(out);
}

static void start(struct world *w, const char *name, const char *http)
{
    char head[160];
    struct fm_err err = {0};
    *w = (struct world){.folder = "/tmp/fm-reload-XXXXXX", .url = "http://127.0.0.1:1"};
    cr_assert_not_null(mkdtemp(w->folder));
    (void)snprintf(w->file, sizeof w->file, "%s/config.ini", w->folder);
    (void)snprintf(head, sizeof head, "%sstate_dir = %s\n", name, w->folder);
    write_file(w, head, "path = memory\n", http);
    w->opts = (struct fm_agent_opts){.config_path = w->file, .log_level = FM_LOG_ERROR};
    struct fm_agent *agent = &w->agent;
    fm_agent_init(agent, &w->opts);
    cr_assert_eq(fm_agent_load(agent, &err), FM_OK, "%s", err.text);
    struct fm_spool_opts spool;
    fm_agent_spool_opts(agent, agent->config, &spool);
    cr_assert_eq(fm_spool_open(&agent->spool, &spool, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_agent_start_http(agent, agent->config, &err), FM_OK, "%s", err.text);
    cr_assert_eq(
        fm_agent_rest_opts(agent, agent->config, &agent->rest_arena, &agent->rest_opts, &err),
        FM_OK, "%s", err.text);
    cr_assert_eq(fm_rest_new(&agent->rest, &agent->rest_opts, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_plan_new(&agent->plan, agent->config, NULL, &err), FM_OK, "%s", err.text);
    const struct fm_poll_opts poll = {.log = agent->log,
                                      .hooks = {.ready = fm_agent_ready,
                                                .sample = fm_agent_sample,
                                                .state = fm_agent_state,
                                                .arg = agent},
                                      .targets = agent->plan->targets,
                                      .n_targets = agent->plan->n_targets,
                                      .host_name = agent->plan->host_name};
    cr_assert_eq(fm_poll_new(&agent->poll, &poll, &err), FM_OK, "%s", err.text);
}

static void end(struct world *w)
{
    fm_chunk_free(w->chunk);
    fm_agent_release(&w->agent);
    (void)unlink(w->file);
    cr_expect_eq(rmdir(w->folder), 0, "nothing else was made there");
}

static enum fm_code keep(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    struct world *w = arg;
    (void)err;
    fm_chunk_free(w->chunk);
    w->chunk = *chunk;
    *chunk = NULL;
    return FM_OK;
}

/* Build the record of one bean under the plan in force; every place says this name. */
static void expect_name(struct world *w, const char *name)
{
    char text[128];
    size_t at = 0;
    struct fm_err err = {0};
    struct fm_arena arena;
    struct fm_name bean;
    struct fm_record rec;
    struct fm_header header;
    struct fm_buf value;
    fm_arena_init(&arena, 0);
    fm_buf_init(&value, 0);
    cr_assert_eq(fm_name_parse(&bean, &arena, "d:k=v", &err), FM_OK, "%s", err.text);
    struct fm_member member = {.key = {.ptr = "x", .len = 1}, .value = {.kind = FM_V_NULL}};
    const struct fm_value attributes = {.kind = FM_V_OBJECT, .object = {&member, 1}};
    const struct fm_sample_bean read = {&bean, &attributes,
                                        w->agent.plan->targets[0].queries[0].rule};
    const struct fm_sample sample = {
        .target = "t", .host = "h", .timestamp_ms = 1, .beans = &read, .n = 1};
    cr_assert_eq(fm_record_build(&sample, keep, NULL, w, NULL, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_chunk_next(w->chunk, &at, &rec, &err), FM_OK, "%s", err.text);
    fm_record_value(&value, &rec, "0123456789abcdef", 0);
    (void)snprintf(text, sizeof text, "jmx.%s", name);
    cr_expect_str_eq(fm_chunk_topic(w->chunk), text);
    (void)snprintf(text, sizeof text, "\"agent\":\"%s\",", name);
    cr_expect_not_null(strstr(fm_buf_str(&value), text), "%s", fm_buf_str(&value));
    (void)snprintf(text, sizeof text, "\"tags\":{\"a\":\"%s\"}", name);
    cr_expect_not_null(strstr(fm_buf_str(&value), text), "%s", fm_buf_str(&value));
    cr_expect(rec.key_len == strlen(name) && memcmp(rec.key, name, rec.key_len) == 0);
    cr_assert(fm_record_header(&rec, 0, &header));
    cr_expect(header.value_len == strlen(name) &&
              memcmp(header.value, name, header.value_len) == 0);
    fm_buf_clear(&value);
    fm_arena_clear(&arena);
}

Test(reload, keeps_the_running_name_in_every_record)
{
    struct world w;
    start(&w, "name = edge\n", "listen = off\n");
    expect_name(&w, "edge");
    char head[160];
    (void)snprintf(head, sizeof head, "name = other\nstate_dir = %s\n", w.folder);
    write_file(&w, head, "path = memory\n", "listen = off\n");
    for (int i = 0; i < 2; i++) { /* the second compares with the start, not with the first */
        fm_agent_reload(&w.agent);
        cr_assert_str_eq(w.agent.reload_error, "");
        cr_expect_str_eq(w.agent.restart_keys, "agent.name");
        expect_name(&w, "edge");
        cr_expect_str_eq(w.agent.rest_opts.agent, "edge");
    }
    (void)snprintf(head, sizeof head, "name = edge\nstate_dir = %s\n", w.folder);
    write_file(&w, head, "path = memory\n", "listen = off\n");
    fm_agent_reload(&w.agent);
    cr_expect_str_eq(w.agent.restart_keys, "", "it was put back");
    expect_name(&w, "edge");
    end(&w);
}

Test(reload, keeps_the_host_name_where_no_name_was_given)
{
    struct world w;
    char host[256] = "", head[160];
    cr_assert_eq(gethostname(host, sizeof host - 1), 0);
    start(&w, "", "listen = off\n");
    (void)snprintf(head, sizeof head, "name = other\nstate_dir = %s\n", w.folder);
    write_file(&w, head, "path = memory\n", "listen = off\n");
    fm_agent_reload(&w.agent);
    cr_expect_str_eq(w.agent.restart_keys, "agent.name");
    expect_name(&w, host);
    end(&w);
}

Test(reload, keeps_the_places_in_force_and_takes_over_what_stands_beside_them)
{
    struct world w;
    start(&w, "name = edge\n", "listen = 127.0.0.1:0\n");
    write_file(&w, "name = edge\nstate_dir = /nowhere\ninterval = 7s\n", "max_age = 1h\n",
               "listen = 127.0.0.1:1\nmax_connections = 3\n");
    fm_agent_reload(&w.agent);
    cr_assert_str_eq(w.agent.reload_error, "");
    cr_expect_str_eq(w.agent.restart_keys, "agent.state_dir, spool.path, http.listen");
    const struct fm_config *config = w.agent.config;
    cr_expect_str_eq(config->agent.state_dir, w.folder);
    cr_expect(config->spool.memory && config->spool.path == NULL);
    cr_expect_str_eq(config->http.listen, "127.0.0.1:0");
    cr_assert_not_null(w.agent.http);
    cr_expect_neq(fm_http_port(w.agent.http), 1);
    cr_expect_eq(config->agent.interval_ms, 7000);
    cr_expect_eq(config->http.max_connections, 3);
    cr_expect_eq(config->spool.max_age_ms, 3600000);
    end(&w);
}

/* A sandbox begun under a running agent would swallow what waits for the proxy. */
Test(reload, goes_on_to_the_proxy_in_force_where_the_sandbox_waits_for_a_restart)
{
    struct world w;
    start(&w, "name = edge\n", "listen = off\n");
    w.url = "http://127.0.0.1:2, http://127.0.0.1:3";
    write_file(&w, "name = edge\n", "path = memory\n", "listen = off\n");
    fm_agent_reload(&w.agent);
    cr_assert_str_eq(w.agent.reload_error, "");
    w.url = "sandbox";
    for (int i = 0; i < 2; i++) { /* the second has nothing of what the first was kept from */
        write_file(&w, "name = edge\ninterval = 7s\n", "max_age = 1h\n", "listen = off\n");
        fm_agent_reload(&w.agent);
        cr_assert_str_eq(w.agent.reload_error, "");
        cr_expect_not_null(strstr(w.agent.restart_keys, "rest.url (sandbox)"), "%s",
                           w.agent.restart_keys);
        const struct fm_config *config = w.agent.config;
        cr_expect(!config->rest.sandbox);
        cr_assert_eq(config->rest.url.n, 2);
        cr_expect_str_eq(config->rest.url.items[1], "http://127.0.0.1:3");
        cr_expect_str_eq(w.agent.rest_opts.urls[0], "http://127.0.0.1:2");
        cr_expect_eq(config->agent.interval_ms, 7000);
        cr_expect_eq(config->spool.max_age_ms, 3600000);
    }
    w.url = "http://127.0.0.1:4";
    write_file(&w, "name = edge\n", "path = memory\n", "listen = off\n");
    fm_agent_reload(&w.agent);
    cr_expect_null(strstr(w.agent.restart_keys, "rest.url"), "%s", w.agent.restart_keys);
    cr_expect_str_eq(w.agent.config->rest.url.items[0], "http://127.0.0.1:4");
    end(&w);
}

Test(reload, does_not_open_an_address_that_waits_for_the_restart)
{
    struct world w;
    cr_assert_eq(setenv("FM_RELOAD_PW", "first", 1), 0);
    start(&w, "name = edge\n",
          "listen = 127.0.0.1:0\nusername = ops\npassword = ${FM_RELOAD_PW}\n");
    const struct fm_http *before = w.agent.http;
    unsigned port = fm_http_port(before);
    write_file(&w, "name = edge\n", "path = memory\n", "listen = 127.0.0.1:1\n");
    for (int i = 0; i < 2; i++) {
        fm_agent_reload(&w.agent);
        cr_assert_str_eq(w.agent.reload_error, "");
        cr_expect_eq(w.agent.http, before);
        cr_expect_eq(fm_http_port(w.agent.http), port);
    }
    end(&w);
}

/* ---- the documents, when nothing is under way ---- */

Test(reload, an_agent_is_quiet_when_all_is_well_and_nothing_waits)
{
    struct fm_spool_stats stats = {0};
    cr_expect_eq(fm_agent_still_quiet(0, FM_HEALTH_OK, &stats), 1);
    cr_expect_eq(fm_agent_still_quiet(1, FM_HEALTH_OK, &stats), 2);
    cr_expect_eq(fm_agent_still_quiet(2, FM_HEALTH_DEGRADED, &stats), 0);
    stats.records = 1;
    cr_expect_eq(fm_agent_still_quiet(2, FM_HEALTH_OK, &stats), 0);
    stats = (struct fm_spool_stats){.queue_bytes = 1};
    cr_expect_eq(fm_agent_still_quiet(2, FM_HEALTH_OK, &stats), 0);
}

Test(reload, what_is_spooled_or_changes_state_wakes_the_main_thread_once)
{
    struct world w;
    uint64_t times = 0;
    struct fm_err err = {0};
    start(&w, "name = edge\n", "listen = off\n");
    fm_agent_news(&w.agent); /* nobody waits yet: nothing happens */
    cr_assert_eq(fm_agent_listen(&w.agent, &err), FM_OK, "%s", err.text);
    cr_assert_eq(read(w.agent.news_fd, &times, sizeof times), -1);
    fm_agent_sample(&w.agent, &(struct fm_sample){.target = "t", .host = "h", .timestamp_ms = 1});
    fm_agent_state(&w.agent, &(struct fm_poll_event){.opts = &w.agent.plan->targets[0],
                                                     .target = "t",
                                                     .host = "h",
                                                     .timestamp_ms = 1,
                                                     .state = "down",
                                                     .error = "gone"});
    cr_assert_eq(fm_spool_flush(w.agent.spool, 10000, &err), FM_OK, "%s", err.text);
    cr_assert_eq(read(w.agent.news_fd, &times, sizeof times), sizeof times);
    cr_assert_eq(times, 1);
    end(&w);
}
