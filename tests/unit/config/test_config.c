#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loading.h"

TestSuite(config, .fini = clean_up);
TestSuite(refusal, .fini = clean_up);
TestSuite(include, .fini = clean_up);
TestSuite(override, .fini = clean_up);

#define LOCAL "[target:l]\nurl = local:*\n"

Test(config, without_a_file_is_all_defaults)
{
    struct fm_config *cfg = load(NULL, NULL, NULL);
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    cr_assert_str_eq(cfg->agent.name, host);
    cr_assert_eq(cfg->agent.interval_ms, 10000);
    cr_assert_str_eq(cfg->rest.topic, "firstmile");
    cr_assert_eq(cfg->rest.timeout_ms, 130000);
    cr_assert_eq(cfg->rest.timeout_single_ms, 190000);
    cr_assert_null(cfg->rest.http_proxy);
    cr_assert_not(cfg->rest.sandbox);
    cr_assert_eq(cfg->batch.records, 500);
    cr_assert_eq(cfg->batch.bytes, 350 * 1024);
    cr_assert_eq(cfg->retry.isolate_max_backoff_ms, 600000);
    cr_assert_eq(cfg->spool.max_size_bytes, 1u << 30);
    cr_assert_eq(cfg->spool.max_age_ms, 0);
    cr_assert_not(cfg->spool.memory);
    cr_assert_eq(cfg->record.shape, FM_CFG_SHAPE_BEAN);
    cr_assert_str_eq(cfg->record.key, "${host}");
    cr_assert_eq(cfg->record.max_bytes, 900 * 1024);
    cr_assert_str_eq(cfg->http.listen, "127.0.0.1:9470");
    cr_assert_eq(cfg->log.level, FM_LOG_INFO);
    cr_assert_eq(cfg->n_targets, 0);
    cr_assert_null(cfg->unnamed.url);
    cr_assert_eq(cfg->unnamed.n_queries, 0, "nothing polls it: no preset is read for it");
    fm_config_free(cfg);
}

Test(config, the_unnamed_target_takes_a_preset_when_told)
{
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    const char *const overrides[] = {"target.preset=jvm"};
    const struct fm_config_opts opts = {.overrides = overrides, .n_overrides = 1};
    cr_assert_eq(fm_config_load(&cfg, NULL, &opts, &err), FM_OK, "%s", fm_err_text(&err));
    cr_assert_gt(cfg->unnamed.n_queries, 5);
    fm_config_free(cfg);
}

Test(config, reads_every_type_of_value)
{
    struct fm_config *cfg = load("# a comment ; with = signs\n"
                                 "; another\n"
                                 "[agent]\n"
                                 "  name = edge 7 ; not a comment # nor this\n"
                                 "interval=250ms\n"
                                 "[rest]\n"
                                 "url = https://a.example/kafka/, http://b.example:8082\n"
                                 "dialect = strimzi\n"
                                 "topic_auto_created = on\n"
                                 "http_proxy = environment\n"
                                 "no_proxy = a, b\\,c\n"
                                 "[spool]\n"
                                 "path = memory\n"
                                 "max_size = 2GiB\n"
                                 "max_age = 7d\n"
                                 "on_full = block\n"
                                 "[record]\n"
                                 "key =\n"
                                 "nonfinite = string\n"
                                 "[http]\n"
                                 "listen = off\n"
                                 "[query:q.1]\n"
                                 "bean = a:type=B,name=* | c:*\n"
                                 "where.name = ^(G1|Z).*$\n"
                                 "where.type = B$$\n"
                                 "attributes = A, !B*, C/d\n"
                                 "[target:web-1]\n"
                                 "url = web-1:9010\n"
                                 "key = ${prop.name}\n",
                                 NULL, NULL);
    cr_assert_str_eq(cfg->agent.name, "edge 7 ; not a comment # nor this");
    cr_assert_eq(cfg->agent.interval_ms, 250);
    cr_assert_eq(cfg->rest.url.n, 2);
    cr_assert_str_eq(cfg->rest.url.items[0], "https://a.example/kafka");
    cr_assert_str_eq(cfg->rest.url.items[1], "http://b.example:8082");
    cr_assert_eq(cfg->rest.dialect, FM_CFG_DIALECT_STRIMZI);
    cr_assert(cfg->rest.topic_auto_created);
    cr_assert_str_eq(cfg->rest.http_proxy, "environment");
    cr_assert_str_eq(cfg->rest.no_proxy.items[1], "b,c");
    cr_assert(cfg->spool.memory);
    cr_assert_null(cfg->spool.path);
    cr_assert_eq(cfg->spool.max_size_bytes, 2ull << 30);
    cr_assert_eq(cfg->spool.max_age_ms, 7ll * 86400000);
    cr_assert_eq(cfg->spool.on_full, FM_CFG_FULL_BLOCK);
    cr_assert_null(cfg->record.key);
    cr_assert_eq(cfg->record.nonfinite, FM_JSON_NONFINITE_STRING);
    cr_assert_null(cfg->http.listen);
    const struct fm_cfg_query *query = &cfg->queries[0];
    cr_assert_str_eq(query->section.name, "q.1");
    cr_assert_eq(query->n_where, 2);
    cr_assert_str_eq(query->where[0].property, "name");
    cr_assert_str_eq(query->where[0].regex, "^(G1|Z).*$");
    cr_assert_str_eq(query->where[1].regex, "B$");
    cr_assert_eq(query->attributes.n, 3);
    cr_assert_eq(query->interval_ms, 0);
    cr_assert_eq(query->shape, FM_CFG_SHAPE_INHERIT);
    const struct fm_cfg_target *target = fm_config_target(cfg, "web-1");
    cr_assert_str_eq(target->key, "${prop.name}");
    cr_assert_eq(target->interval_ms, 250, "as the agent");
    cr_assert_str_eq(target->topic, "firstmile");
    cr_assert_eq(target->n_queries, 1, "no preset when there is a query");
    cr_assert_null(fm_config_target(cfg, "web"));
    fm_config_free(cfg);
}

Test(config, knows_the_units_and_no_others)
{
    int64_t ms = 0;
    uint64_t bytes = 0;
    cr_assert(fm_config_parse_duration("2h", &ms) && ms == 7200000);
    cr_assert(fm_config_parse_duration("0", &ms) && ms == 0);
    static const char *const no_time[] = {"",     "1",  "s",  "1 s",  "-1s",
                                          "1.5s", "1w", "1S", "0x1s", "99999999999999999999d"};
    for (size_t i = 0; i < sizeof no_time / sizeof no_time[0]; i++)
        cr_expect_not(fm_config_parse_duration(no_time[i], &ms), "%s", no_time[i]);
    cr_assert(fm_config_parse_size("64KiB", &bytes) && bytes == 65536);
    cr_assert(fm_config_parse_size("7", &bytes) && bytes == 7);
    cr_assert(fm_config_parse_size("7B", &bytes) && bytes == 7);
    static const char *const no_size[] = {"",
                                          "KiB",
                                          "1KB",
                                          "1k",
                                          "-1",
                                          "1 MiB",
                                          "1TiB",
                                          "18446744073709551616",
                                          "18446744073709551615KiB"};
    for (size_t i = 0; i < sizeof no_size / sizeof no_size[0]; i++)
        cr_expect_not(fm_config_parse_size(no_size[i], &bytes), "%s", no_size[i]);
}

Test(config, takes_the_environment_as_data)
{
    (void)setenv("FM_TEST_A", "x$y${FM_TEST_B}", 1);
    (void)setenv("FM_TEST_EMPTY", "", 1);
    (void)unsetenv("FM_TEST_NONE");
    struct fm_config *cfg =
        load("[agent]\nname = ${FM_TEST_A}-$$-${FM_TEST_NONE:-a b}-$-$1\n"
             "[record]\nkey = ${FM_TEST_A}.${host}.$${host}.${FM_TEST_EMPTY:-d}\n",
             NULL, NULL);
    cr_assert_str_eq(cfg->agent.name, "x$y${FM_TEST_B}-$-a b-$-$1");
    cr_assert_str_eq(cfg->record.key, "x$$y$${FM_TEST_B}.${host}.$${host}.d");
    fm_config_free(cfg);
}

Test(config, gives_targets_their_queries)
{
    static const char text[] = "[query:a]\nbean=a:*\n[query:b]\nbean=b:*\ninterval = 1m\n"
                               "[target:all]\nurl = x:1\n"
                               "[target:one]\nurl = x:1\nqueries = b\n"
                               "[target:both]\nurl = x:1\npreset = jvm\nqueries = b, a\n";
    struct fm_config *cfg = load(text, NULL, NULL);
    cr_assert_eq(cfg->targets[0].n_queries, 2);
    cr_assert_eq(cfg->targets[1].n_queries, 1);
    cr_assert_str_eq(cfg->targets[1].queries[0]->section.name, "b");
    size_t n = cfg->targets[2].n_queries;
    cr_assert_gt(n, 5);
    cr_assert_str_eq(cfg->targets[2].queries[n - 1]->section.name, "a");
    cr_assert_str_eq(cfg->targets[2].queries[0]->section.name, "jvm/memory");
    fm_config_free(cfg);
    cfg = load(LOCAL, NULL, NULL);
    cr_assert_str_eq(cfg->targets[0].preset.items[0], "jvm");
    cr_assert_eq(cfg->n_presets, 1);
    fm_config_free(cfg);
}

Test(config, gives_queries_their_rules)
{
    static const char text[] = "[record]\ntags = env=prod, site=x\nkey = ${tag.env}\n"
                               "[query:a]\nbean=a:*\n[query:b]\nbean=b:*\nkey =\nshape = metric\n"
                               "[query:c]\nbean=c:*\ntopic = other\n[query:d]\nbean=d:*\n"
                               "[target:t]\nurl = x:1\ntags = site=y, new=${bean}\n";
    struct fm_config *cfg = load(text, NULL, NULL);
    const struct fm_cfg_target *t = &cfg->targets[0];
    cr_assert_eq(t->n_rules, 3);
    cr_assert_eq(t->query_rules[0], t->query_rules[3]);
    cr_assert_str_eq(t->rules[0].key, "${tag.env}");
    cr_assert_eq(t->rules[0].shape, FM_CFG_SHAPE_BEAN);
    cr_assert_null(t->rules[t->query_rules[1]].key);
    cr_assert_eq(t->rules[t->query_rules[1]].shape, FM_CFG_SHAPE_METRIC);
    cr_assert_str_eq(t->rules[t->query_rules[2]].topic, "other");
    cr_assert_eq(t->all_tags.n, 3);
    cr_assert_str_eq(t->all_tags.items[1], "site=y");
    cr_assert_str_eq(t->all_tags.items[2], "new=${bean}");
    fm_config_free(cfg);
    const char *said = errors_of(text, "target:t.shape=snapshot", NULL);
    cr_assert_not_null(strstr(said, "[target:t] tags: with shape = snapshot ${bean} cannot"), "%s",
                       said);
    said = errors_of(text, "target:t.key=${tag.nev}", NULL);
    cr_assert_not_null(strstr(said, "there is no tag nev for ${tag.nev}"), "%s", said);
}

Test(config, puts_hosts_into_the_url)
{
    struct fm_config *cfg =
        load("[target:t]\nurl = service:jmx:rmi:///jndi/rmi://${host}:9/jmxrmi\n"
             "hosts = a, b\n",
             NULL, NULL);
    const struct fm_cfg_target *t = &cfg->targets[0];
    cr_assert_eq(t->host_urls.n, 2);
    cr_assert_str_eq(t->host_urls.items[1], "service:jmx:rmi:///jndi/rmi://b:9/jmxrmi");
    fm_config_free(cfg);
}

Test(config, takes_presets_of_its_own_first)
{
    (void)put_file("jvm.ini", "[query:mine]\nbean = a:b=c\n", 0644);
    char dir[160];
    (void)snprintf(dir, sizeof dir, "agent.presets_dir=%.*s",
                   (int)(strrchr(path_in("x"), '/') - path_in("x")), path_in("x"));
    struct fm_config *cfg = load(LOCAL, dir, NULL);
    cr_assert_eq(cfg->targets[0].n_queries, 1);
    cr_assert_str_eq(cfg->targets[0].queries[0]->section.name, "jvm/mine");
    cr_assert_eq(cfg->files.n, 1);
    fm_config_free(cfg);
    (void)put_file("jvm.ini", "[query:mine]\nbeam = a:b=c\n[rest]\n", 0644);
    const char *said = errors_of(LOCAL, dir, NULL);
    cr_assert_not_null(strstr(said, "jvm.ini:2: [query:mine] has no key beam; did you mean bean?"));
    cr_assert_not_null(strstr(said, "jvm.ini:3: [rest]: a preset holds [query:NAME]"), "%s", said);
}

Test(config, is_dumped_without_secrets_and_reads_back)
{
    static const char text[] = "[rest]\nurl = https://a\nauth = basic\nusername = u\n"
                               "password = hunter2\ntimeout = 130s\n"
                               "[record]\ntags = a=b, c=d\\,e\n"
                               "[query:q]\nbean = a:*\nwhere.x = y\n"
                               "[target:t]\nurl = x:1\ninterval = 1s\n";
    struct fm_config *cfg = load(text, NULL, NULL);
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_config_dump(cfg, &out, false);
    cr_assert_str_eq(fm_buf_str(&out), "[rest]\nurl = https://a\nauth = basic\nusername = u\n"
                                       "password = ***\n\n"
                                       "[record]\ntags = a=b, c=d\\,e\n\n"
                                       "[target:t]\nurl = x:1\ninterval = 1s\n\n"
                                       "[query:q]\nbean = a:*\nwhere.x = y\n\n");
    fm_buf_reset(&out);
    fm_config_dump(cfg, &out, true);
    cr_assert_null(strstr(fm_buf_str(&out), "hunter2"));
    cr_assert_not_null(strstr(fm_buf_str(&out), "linger = 1s\n"));
    fm_config_free(cfg);
    cfg = load(fm_buf_str(&out), NULL, NULL);
    fm_config_free(cfg);
    fm_buf_clear(&out);
}

Test(config, ships_a_sample_that_is_the_table)
{
    struct fm_buf want;
    fm_buf_init(&want, 0);
    fm_config_sample(&want);
    FILE *file = fopen("config.ini", "r");
    cr_assert_not_null(file);
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, file);
    (void)fclose(file);
    cr_assert_gt(n, 1000);
    cr_assert_str_eq(text, fm_buf_str(&want), "config.ini differs from the option table");
    struct fm_config *cfg = load(text, NULL, NULL);
    cr_assert(cfg->rest.sandbox);
    cr_assert_eq(cfg->n_targets, 1);
    cr_assert_str_eq(cfg->targets[0].url, "local:*");
    cr_assert(cfg->targets[0].attach);
    /* Every key stands there, commented out, with its default; taken in, they change nothing. */
    struct fm_config_key key;
    for (size_t i = 0; fm_config_key_at(i, &key); i++) {
        char line[160];
        (void)snprintf(line, sizeof line, "\n#%s =%s%s\n", key.key, key.def[0] == '\0' ? "" : " ",
                       key.def);
        cr_expect_not_null(strstr(text, line), "[%s] %s is missing", key.section, key.key);
    }
    char *to = text; /* but for those of the live lines, which would be there twice */
    for (char *p = text; *p != '\0'; p++) {
        bool key_line = p > text && p[-1] == '\n' && p[0] == '#' && p[1] != ' ' && p[1] != '\n' &&
                        strncmp(p, "#url =\n", 7) != 0 && strncmp(p, "#preset =", 9) != 0 &&
                        strncmp(p, "#attach =", 9) != 0;
        if (!key_line)
            *to++ = *p;
    }
    *to = '\0';
    /* Only a query's bean has no default that would do. */
    struct fm_config *full = load(text, "query:NAME.bean=a:*", NULL);
    cr_assert(fm_config_same_section(&cfg->rest.section, &full->rest.section));
    cr_assert(fm_config_same_section(&cfg->spool.section, &full->spool.section));
    cr_assert(fm_config_same_section(&cfg->record.section, &full->record.section));
    fm_config_free(full);
    fm_config_free(cfg);
    fm_buf_clear(&want);
    free(text);
}

Test(config, compares_for_reload)
{
    static const char text[] =
        "[query:q]\nbean = a:*\n[target:t]\nurl = x:1\n[target:u]\nurl = y:1\n"
        "queries = q\npreset = jvm\n";
    struct fm_config *a = load(text, NULL, NULL);
    struct fm_config *b = load(text, "target:t.timeout=1s", "agent.name=other");
    struct fm_buf keys;
    fm_buf_init(&keys, 0);
    cr_assert_not(fm_config_same_target(&a->targets[0], &b->targets[0]));
    cr_assert(fm_config_same_target(&a->targets[1], &b->targets[1]));
    cr_assert_eq(fm_config_restart_keys(a, b, &keys), 1);
    cr_assert_str_eq(fm_buf_str(&keys), "agent.name");
    fm_config_free(b);
    b = load(text, "query:q.where.x=1", "record.key=k");
    cr_assert_not(fm_config_same_target(&a->targets[1], &b->targets[1]), "its query changed");
    fm_config_free(b);
    b = load(text, "agent.interval=1s", NULL);
    cr_assert_not(fm_config_same_target(&a->targets[1], &b->targets[1]), "what it inherits");
    fm_buf_clear(&keys);
    fm_config_free(a);
    fm_config_free(b);
}

/* ---- what is refused, and how ---- */

Test(config, names_only_written_keys_that_want_a_restart)
{
    struct fm_buf keys;
    fm_buf_init(&keys, 0);
    struct fm_config *a = load("[agent]\nstate_dir = /a\n", NULL, NULL);
    struct fm_config *b = load("[agent]\nstate_dir = /b\n", NULL, NULL);
    struct fm_config *c = load("[agent]\nstate_dir = /b\n[spool]\npath = /b/s\n", NULL, NULL);
    cr_expect_eq(fm_config_restart_keys(a, b, &keys), 1);
    cr_expect_str_eq(fm_buf_str(&keys), "agent.state_dir"); /* spool.path follows from it */
    fm_buf_reset(&keys);
    cr_expect_eq(fm_config_restart_keys(b, c, &keys), 1);
    cr_expect_str_eq(fm_buf_str(&keys), "spool.path");
    fm_buf_clear(&keys);
    fm_config_free(a);
    fm_config_free(b);
    fm_config_free(c);
}

#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/="

Test(config, takes_one_pinned_key_and_several)
{
    struct fm_config *cfg = load("[rest]\npinned_key = " PIN ";" PIN "\n", NULL, NULL);
    cr_expect_str_eq(cfg->rest.pinned_key, PIN ";" PIN);
    fm_config_free(cfg);
}

Test(refusal, names_the_place_and_the_remedy)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"[rest]\nurl = https://a\nlinger = 1s\n", "config.ini:3: [rest] has no key linger"},
        {"[rest]\nulr = https://a\n", "config.ini:2: [rest] has no key ulr; did you mean url?"},
        {"[rest]\npasword_file = x\n", "did you mean password_file?"},
        {"[rest]\nURL = https://a\n", "config.ini:2: [rest] has no key URL"},
        {"\n[rset]\nx = 1\n", "config.ini:2: there is no section [rset]; did you mean [rest]?"},
        {"[tagret:x]\nurl = x:1\n", "did you mean [target:NAME]?"},
        {"[target]\nurl = x:1\n", "config.ini:1: section [target] needs a name: [target:NAME]"},
        {"[rest:x]\nurl = x:1\n", "section [rest:x] has no name: write [rest]"},
        {"[target:a/b]\nurl = x:1\n", "config.ini:1: [target:a/b]: a name has 1 to 64"},
        {"[target:]\nurl = x:1\n", "a name has 1 to 64"},
        {"[default]\nx = 1\n", "config.ini:1: there is no section [default]"},
        {"x = 1\n[rest]\n", "config.ini:1: x stands before the first [section]"},
        {"[rest]\ntopic = a\ntopic = b\n", "config.ini:3: [rest] topic is set already in line 2"},
        {"[rest]\n[log]\n[rest]\n", "config.ini:3: section [rest] stands already in line 1"},
        {"[target:a]\nurl=a:1\n[target:A]\nurl=b:1\n", "config.ini:3: section [target:A] stands"},
        {"[rest]\nnonsense\n", "config.ini:2: neither [section] nor key = value"},
        {"[rest\nurl = x\n", "config.ini:1: the section's name has no closing bracket"},
        {"[]\n", "config.ini:1: the section has no name"},
        {"[rest]\n= 5\n", "config.ini:2: nothing stands before the equal sign"},
        {"[agent]\ninterval = 10\n", "\"10\" is no duration; write 500ms, 10s, 5m, 2h or 7d"},
        {"[agent]\ninterval = 0\n", "0 is out of bounds: 1ms to 1d"},
        {"[batch]\nbytes = 350KB\n", "\"350KB\" is no size; write 64KiB"},
        {"[batch]\nrecords = 0\n", "0 is out of bounds: 1 to 100000"},
        {"[retry]\nmax_suspects = 901\n", "901 is out of bounds: 1 to 900"},
        {"[batch]\nrecords = 99999999999999999999999\n", "out of bounds"},
        {"[batch]\nrecords = -1\n", "\"-1\" is no number"},
        {"[rest]\ntopic_auto_created = yes\n", "\"yes\" is neither on nor off"},
        {"[spool]\non_full = drop_oldst\n", "did you mean drop_oldest?"},
        {"[spool]\nmax_size = 1023KiB\n", "1023KiB is out of bounds: 1MiB to 1024GiB"},
        {"[spool]\nmax_size = 10MiB\n",
         "config.ini:2: [spool] max_size: too little beside the reserve, which lies within it: "
         "raise it to 16MiB or more, or set reserve = 5MiB or less"},
        {"[spool]\nmax_size = 1MiB\nreserve = 513KiB\n",
         "raise it to 1026KiB or more, or set reserve = 512KiB or less"},
        {"[record]\nshape = -\n", "\"-\" is none of: bean metric snapshot"},
        {"[record]\ntags = a=b,,c=d\n", "empty item"},
        {"[record]\ntags = a\n", "\"a\" is not name=value"},
        {"[record]\ntags = a=1, a=2\n", "a is given twice"},
        {"[record]\nkey = ${hots}\n", "there is no ${hots}; did you mean ${host}?"},
        {"[record]\nkey = ${host\n", "${ has no closing brace"},
        {"[record]\npartition = x\n", "\"x\" is no partition number"},
        {"[agent]\nname = ${host}\n", "${host} cannot stand here"},
        {"[agent]\nname = ${FM_TEST_UNSET}\n", "environment variable FM_TEST_UNSET is not set"},
        {"[agent]\nname = ${FM_TEST_UNSET-x}\n", "none of ${NAME} and ${NAME:-default}"},
        {"[agent]\nname = a\x1b[31m\n", "control character"},
        {"[rest]\ntopic = a b\n", "\"a b\" is no topic name"},
        {"[rest]\ntopic =\n", "a topic is needed"},
        {"[rest]\ntopic = ${bean}\n", "there are ${agent} ${host} ${target}"},
        {"[rest]\nurl = sandbox, https://a\n", "sandbox stands alone"},
        {"[rest]\nurl = file:///etc/passwd\n", "is neither https://HOST nor http://HOST"},
        {"[rest]\nurl = https://\n", "is neither https://HOST nor"},
        {"[rest]\nurl = https://u:canary@a\n", "a URL may not hold a user or a password"},
        {"[rest]\nhttp_proxy = socks5://a\n", "is neither https://HOST nor"},
        {"[rest]\npinned_key = key.pem\n", "pinned_key: write sha256//BASE64"},
        {"[rest]\npinned_key = sha256//AAAA\n", "pinned_key: write sha256//BASE64"},
        {"[rest]\npinned_key = " PIN ";\n", "pinned_key: write sha256//BASE64"},
        {"[rest]\nhttp_proxy = u:canary@proxy:3128\n", "a URL may not hold a user"},
        {"[rest]\nauth = basic\nusername = u\n", "basic needs username and password"},
        {"[rest]\nauth = bearer\n", "bearer needs token"},
        {"[rest]\nauth = oauth2\n", "oauth2 needs oauth2_url, oauth2_client and oauth2_secret"},
        {"[rest]\nauth = oauth3\n", "did you mean oauth2?"},
        {"[rest]\nformat = protobuf\n", "not have protobuf (planned"},
        {"[rest]\napi = v3\ndialect = karapace\n", "only Confluent's proxies speak v3"},
        {"[rest]\nformat = avro\ndialect = strimzi\n", "no formats with a schema"},
        {"[rest]\nformat = jsonschema\ndialect = redpanda\n", "no formats with a schema"},
        {"[rest]\nformat = avro\napi = v3\ncluster_id = lkc-1\n", "no formats with a schema"},
        {"[rest]\nschema_id = 5\n", "only format = avro and jsonschema"},
        {"[rest]\nformat = binary\nschema_file = x\n", "only format = avro and jsonschema"},
        {"[rest]\nformat = avro\nschema_id = 5\nschema_file = x\n", "choose one"},
        {"[rest]\nformat = avro\nschema_id = 5\n[target:a]\nurl = h:1\n[target:b]\nurl = h:2\n"
         "shape = metric\n",
         "config.ini:8: [target:b] shape: [rest] schema_id is one schema"},
        {"[rest]\nformat = avro\nschema_id = five\n", "no id of a schema"},
        {"[rest]\nformat = avro\nschema_id = 0\n", "no id of a schema"},
        {"[rest]\nformat = avro\nschema_id = 9999999999\n", "no id of a schema"},
        {"[retry]\nbackoff = 2m\n", "config.ini:2: [retry] backoff: longer than max_backoff"},
        {"[http]\nlisten = 9470\n", "none of HOST:PORT, unix:PATH and off"},
        {"[http]\nlisten = a:70000\n", "\"a:70000\": a port is a number from 1 to 65535"},
        {"[http]\nusername = u\n", "belong together"},
        {"[http]\ncert_file = u\n", "belong together"},
        {"[target:a]\n", "config.ini:1: [target:a] url: a target needs one"},
        {"[target:a]\nurl = host\n", "\"host\" is none of local:GLOB"},
        {"[target:a]\nurl = pid:x\n", "\"pid:x\": a process number is 1 to 4194304"},
        {"[target:a]\nurl = pid:0\n", "a process number is 1 to"},
        {"[target:a]\nurl = pid:4194305\n", "a process number is 1 to"},
        {"[target:a]\nurl = h:0\n",
         "config.ini:2: [target:a] url: \"h:0\": a port is a number from 1 to 65535"},
        {"[target:a]\nurl = http://h:00/x\n", "a port is a number from 1 to 65535"},
        {"[target:a]\nurl = h%41:1\n", "is none of local:GLOB"},
        {"[target:a]\nurl = h:65536\n", "\"h:65536\": a port is a number from 1 to 65535"},
        {"[target:a]\nurl = http://[::1]:70000/j\n", "a port is a number"},
        {"[rest]\nurl = https://h:70000\n", "[rest] url: \"https://h:70000\": a port is a number"},
        {"[rest]\nurl = https://:8082\n", "[rest] url: \"https://:8082\": the host is missing"},
        {"[rest]\nurl = https://h:80x\n", "the port must be a number"},
        {"[target:a]\nurl = http://:80/jolokia\n", "config.ini:2: [target:a] url: \"http://:80"},
        {"[target:a]\nurl = https://[]/j\n", "no IPv6 address"},
        {"[target:a]\nurl = []:1\n", "\"[]:1\": between '[' and ']' stands no IPv6"},
        {"[target:a]\nurl = [::g]:1\n", "\"[::g]:1\": between '[' and ']' stands no IPv6"},
        {"[target:a]\nurl = service:jmx:foo\n",
         "config.ini:2: [target:a] url: \"service:jmx:foo\": the JMX protocol \"foo\" is not"},
        {"[target:a]\nurl = service:jmx:rmi:///jndi/rmi://h:0/jmxrmi\n",
         "rmi://h:0/jmxrmi\": the port must be a number from 1 to 65535"},
        {"[target:a]\nurl = service:jmx:rmi:///jndi/rmi://[]:1/jmxrmi\n", "no IPv6 address"},
        {"[target:a]\nurl = service:jmx:rmi://h:1\n", "a path is missing: /jndi/rmi://"},
        {"[target:a]\nurl = service:jmx:rmi:///jndi/rmi://${host}:0/j\nhosts = b\n",
         "rmi://b:0/j\": the port must be"},
        {"[target acme]\nurl = x:1\n",
         "config.ini:1: there is no section [target acme]; did you mean [target:acme]?"},
        {"[query.slow]\nbean = a:*\n", "did you mean [query:slow]?"},
        {"[target:a]\nurl = http://u:canary@h/jolokia\n", "a URL may not hold a user"},
        {"[target:a]\nurl = service:jmx:rmi:///jndi/rmi://u:canary@h:1/x\n", "may not hold a user"},
        {"[target:a]\nurl = ${host}:9\n", "hosts is not set"},
        {"[target:a]\nurl = h:9\nhosts = a\n", "url does not hold ${host}"},
        {"[target:a]\nurl = ${host}\nhosts = a\n", "\"a\" is none of local:GLOB"},
        {"[target:a]\nurl = a:1\npreset = jmv\n", "there is no preset jmv; did you mean jvm"},
        {"[target:a]\nurl = a:1\npreset = ../x\n", "there is no preset ../x"},
        {"[target:a]\nurl = a:1\nqueries = x\n", "there is no [query:x]"},
        {"[target:a]\nurl = a:1\ntargets_file = x\n",
         "config.ini:3: [target:a] targets_file: it names the targets itself: take url away"},
        {"[target:a]\nhosts = a\ntargets_file = x\n", "take hosts away"},
        {"[query:q]\n", "config.ini:1: [query:q] bean: a pattern is needed"},
        {"[query:q]\nbean = abc\n", "config.ini:2: [query:q] bean: "},
        {"[query:q]\nbean = a:b=c\nexclude = x\n", "config.ini:3: [query:q] exclude: "},
        {"[query:q]\nbean = a:b=c\nwhere.x = (\n",
         "config.ini:3: [query:q] where.PROPERTY: where.x"},
        {"[query:q]\nbean = a:b=c\nwhere. = x\n", "has no key where."},
        {"[query:q]\nbean = a:b=c\ntopic = ${bean}\n", "config.ini:3: [query:q] topic: ${bean}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *said = errors_of(cases[i].text, NULL, NULL);
        cr_expect_not_null(strstr(said, cases[i].said), "%s\nsaid: %s", cases[i].text, said);
        cr_expect_null(strstr(said, "canary"), "a secret was shown: %s", said);
    }
}

Test(refusal, tells_one_mistake_once_and_by_its_name)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"[rest]\nauth = basic\nusername = u\npassword_file = /nonexistent\n",
         "config.ini:4: [rest] password_file: cannot open the secret in /nonexistent: No such file "
         "or directory\n"},
        {"[rest]\nauth = bearer\ntoken_file = /nonexistent\n",
         "config.ini:3: [rest] token_file: cannot open the secret in /nonexistent: No such file or "
         "directory\n"},
        {"[http]\nusername = u\npassword_file = /nonexistent\n",
         "config.ini:3: [http] password_file: cannot open the secret in /nonexistent: No such file "
         "or directory\n"},
        {"[rest]\ntopic = a\n topic=b\n# topic = c\n",
         "config.ini:3: [rest] topic is set already in line 2\n"},
        {"[rest]\ntopic = a\ntopic = b", "config.ini:3: [rest] topic is set already in line 2\n"},
        {"[rest]\ntopic = a\nTOPIC = b\nurl=https://x\ntopic = c\n",
         "config.ini:3: [rest] TOPIC is set already in line 2\n"
         "config.ini:5: [rest] topic is set already in line 3\n"},
        {"include = *.none\ninclude = *.none\n",
         "config.ini:2: include is set already in line 1\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_str_eq(errors_of(cases[i].text, NULL, NULL), cases[i].said);
}

Test(refusal, of_a_double_key_hides_no_other)
{
    const char *said = errors_of("[rest]\ntopic = a\ntopic = b\nulr = x\n", NULL, NULL);
    cr_expect_not_null(strstr(said, "config.ini:3: [rest] topic is set already in line 2"), "%s",
                       said);
    cr_expect_not_null(strstr(said, "config.ini:4: [rest] has no key ulr"), "%s", said);
}

Test(refusal, collects_many_errors_but_not_without_end)
{
    char text[2000] = "[rest]\n";
    for (int i = 0; i < 60; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "wrong%d = 1\n", i);
    const char *said = errors_of(text, NULL, NULL);
    size_t lines = 0;
    for (; *said != '\0'; said++)
        lines += *said == '\n';
    cr_assert_eq(lines, FM_CONFIG_ERRORS);
}

static const char *errors_of_bytes(const char *data, size_t len)
{
    static char said[240];
    const char *path = path_in("bytes.ini");
    FILE *file = fopen(path, "w");
    cr_assert_eq(fwrite(data, 1, len, file), len);
    (void)fclose(file);
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_config_load(&cfg, path, NULL, &err), FM_ECONF);
    memcpy(said, err.text, sizeof said);
    return said;
}

Test(refusal, is_for_bytes_that_are_no_text)
{
    cr_assert_not_null(strstr(errors_of_bytes("[rest]\nx\0=1\n", 12), "bytes.ini:2: a NUL byte"));
    cr_assert_not_null(
        strstr(errors_of_bytes("[rest]\n\n#\xff\n", 11), "bytes.ini:3: text that is"));
    size_t len = 2u << 20;
    char *big = malloc(len);
    memset(big, 'x', len);
    cr_assert_not_null(strstr(errors_of_bytes(big, len), "larger than 1 MiB"));
    cr_assert_not_null(strstr(errors_of_bytes(big, 100000), "bytes.ini:1: a line longer than 64"));
    memset(big, '\n', len);
    cr_assert_not_null(strstr(errors_of_bytes(big, 900000), "more than 20000 lines"));
    free(big);
}

Test(refusal, is_for_what_is_no_file)
{
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_config_load(&cfg, path_in("none"), NULL, &err), FM_ECONF);
    cr_assert_not_null(strstr(err.text, "cannot open"), "%s", err.text);
    cr_assert_eq(fm_config_load(&cfg, "/dev/zero", NULL, &err), FM_ECONF);
    cr_assert_not_null(strstr(err.text, "not a regular file"), "%s", err.text);
}

/* ---- include ---- */

Test(include, takes_files_in_order_relative_to_itself)
{
    (void)put_file("b.inc", "[target:b]\nurl = b:1\n", 0644);
    (void)put_file("a.inc", "[target:a]\nurl = a:1\n[rest]\ntopic = t\n", 0644);
    struct fm_config *cfg = load("include = *.inc, none*.inc\n[rest]\nurl = https://x\n"
                                 "[target:c]\nurl = c:1\n",
                                 NULL, NULL);
    cr_assert_eq(cfg->n_targets, 3);
    cr_assert_not_null(fm_config_target(cfg, "a"));
    cr_assert_str_eq(cfg->rest.topic, "t");
    cr_assert_eq(cfg->files.n, 3);
    cr_assert_not_null(strstr(cfg->files.items[1], "a.inc"));
    fm_config_free(cfg);
}

Test(include, refuses_circles_doubles_and_missing_files)
{
    (void)put_file("a.inc", "include = b.inc\n", 0644);
    (void)put_file("b.inc", "include = a.inc\n", 0644);
    cr_assert_not_null(strstr(errors_of("include = a.inc\n", NULL, NULL), "includes itself"));
    cr_assert_not_null(strstr(errors_of("include = config.ini\n", NULL, NULL), "includes itself"));
    const char *said = errors_of("\ninclude = none.inc\n", NULL, NULL);
    cr_assert_not_null(strstr(said, "config.ini:2: include: there is no file"), "%s", said);
    (void)put_file("a.inc", "[rest]\nurl = https://y\n", 0644);
    said = errors_of("include = a.inc\n[rest]\nurl = https://x\n", NULL, NULL);
    cr_assert_not_null(strstr(said, "a.inc:2: [rest] url is set already in "), "%s", said);
    (void)put_file("a.inc", "[target:t]\nurl = y:1\n", 0644);
    said = errors_of("include = a.inc\n[target:t]\nurl = x:1\n", NULL, NULL);
    cr_assert_not_null(strstr(said, "a.inc:1: section [target:t] stands already in "), "%s", said);
}

Test(include, is_bounded_in_depth)
{
    char name[16], text[32];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "%d.inc", i);
        (void)snprintf(text, sizeof text, "include = %d.inc\n", i + 1);
        (void)put_file(name, text, 0644);
    }
    cr_assert_not_null(strstr(errors_of("include = 0.inc\n", NULL, NULL), "inside another"));
}

/* ---- -o ---- */

Test(override, wins_and_splits_at_the_last_dot)
{
    struct fm_config *cfg = load("[target:a.b]\nurl = x:1\n[query:q.where]\nbean = a:*\n",
                                 "target:a.b.url=y=z:2", "query:q.where.where.type=^a=b$");
    cr_assert_str_eq(cfg->targets[0].url, "y=z:2");
    cr_assert_str_eq(cfg->queries[0].where[0].property, "type");
    cr_assert_str_eq(cfg->queries[0].where[0].regex, "^a=b$");
    fm_config_free(cfg);
    cfg = load("[query:q.where]\nbean = a:*\n", "query:q.where.bean=b:*",
               "query:q.where.where.b.c=x");
    cr_assert_str_eq(cfg->queries[0].bean, "b:*");
    cr_assert_str_eq(cfg->queries[0].where[0].property, "b.c");
    fm_config_free(cfg);
    cfg = load(NULL, "target.url=x:1", "target:new.url=y:1");
    cr_assert_str_eq(cfg->unnamed.url, "x:1");
    cr_assert_str_eq(cfg->targets[0].section.name, "new");
    fm_config_free(cfg);
    cfg = load(NULL, "agent.interval=1s", "agent.interval=2s");
    cr_assert_eq(cfg->agent.interval_ms, 2000, "the later one wins");
    fm_config_free(cfg);
}

Test(override, is_refused_for_secrets_and_nonsense)
{
    const char *said = errors_of(NULL, "rest.password=canary", "target.password=canary");
    cr_assert_not_null(strstr(said, "-o: [rest] password: a secret on the command line"), "%s",
                       said);
    cr_assert_not_null(strstr(said, "use password_file"));
    cr_assert_null(strstr(said, "canary"));
    cr_assert_not_null(strstr(errors_of(NULL, "interval=1s", NULL), "write -o section.key=value"));
    cr_assert_not_null(
        strstr(errors_of(NULL, "agent.interval", NULL), "write -o section.key=value"));
    cr_assert_not_null(strstr(errors_of(NULL, ".x=1", ""), "write -o section.key=value"));
    cr_assert_not_null(
        strstr(errors_of(NULL, "agnet.name=x", NULL), "-o: there is no section [agnet]"));
    cr_assert_not_null(strstr(errors_of(NULL, "agent.nmae=x", NULL), "did you mean name?"));
}
