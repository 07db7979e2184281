/* Each shipped preset against what live servers showed (tests/data/mbean-dumps): every query takes
 * a bean, and every attribute that is spelled out was seen on one of its beans. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/presets.h"
#include "loading.h"
#include "value/name.h"

TestSuite(presets, .fini = clean_up, .timeout = 60);

#define DUMPS "tests/data/mbean-dumps/"

/* The dumps of each preset, by the beginnings of their names. */
static const struct {
    const char *preset;
    const char *dumps[4];
} sources[] = {
    {"activemq", {"activemq-"}},
    {"artemis", {"artemis-"}},
    {"cassandra", {"cassandra-"}},
    {"hadoop", {"hadoop-"}},
    {"hbase", {"hbase-"}},
    {"hikaricp", {"connection-pools", "springboot-"}},
    {"jetty", {"jetty-"}},
    {"jvm", {"jvm-"}},
    {"kafka-broker", {"kafka-4.3.1-broker", "kafka-3.9.2-broker"}},
    {"kafka-clients", {"kafka-4.3.1-", "kafka-3.9.2-"}},
    {"kafka-connect", {"kafka-4.3.1-connect", "kafka-4.3.1-mirror"}},
    {"solr", {"solr-"}},
    {"tomcat", {"tomcat-", "springboot-"}},
    {"wildfly", {"wildfly-"}},
    {"zookeeper", {"zookeeper-"}},
};

enum { LAST_MAX = 4096 };

struct pattern_list {
    struct fm_name names[16];
    size_t n;
};

static void parse_patterns(struct pattern_list *list, struct fm_arena *arena, const char *text)
{
    list->n = 0;
    while (text != NULL && *text != '\0') {
        const char *bar = strstr(text, " | ");
        size_t len = bar == NULL ? strlen(text) : (size_t)(bar - text);
        struct fm_err err = {0};
        cr_assert_lt(list->n, 16);
        cr_assert_eq(
            fm_name_parse(&list->names[list->n++], arena, fm_arena_strndup(arena, text, len), &err),
            FM_OK, "%s", err.text);
        text = bar == NULL ? NULL : bar + 3;
    }
}

static bool matches_any(const struct pattern_list *list, const struct fm_name *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (fm_name_match(&list->names[i], name))
            return true;
    return false;
}

struct query {
    const struct fm_cfg_query *cfg;
    struct pattern_list bean, exclude;
    regex_t where[4];
    bool takes; /* the bean that is being read */
    size_t beans;
    unsigned alternatives; /* those of bean that took one, as bits */
    bool *seen; /* attributes */
};

static bool takes(struct query *q, const struct fm_name *name, struct fm_arena *arena)
{
    if (!matches_any(&q->bean, name) || matches_any(&q->exclude, name))
        return false;
    for (size_t i = 0; i < q->cfg->n_where; i++) {
        const char *value = fm_name_value(name, arena, q->cfg->where[i].property);
        if (value == NULL || regexec(&q->where[i], value, 0, NULL, 0) != 0)
            return false;
    }
    for (size_t i = 0; i < q->bean.n; i++)
        if (fm_name_match(&q->bean.names[i], name))
            q->alternatives |= 1u << i;
    return true;
}

static void read_line(struct query *queries, size_t n, struct fm_arena *arena, char *line,
                      char *last)
{
    char *tab = strchr(line, '\t');
    if (line[0] == '#' || tab == NULL)
        return;
    *tab = '\0';
    char *attribute = tab + 1;
    attribute[strcspn(attribute, "\t")] = '\0';
    bool new_bean = strcmp(line, last) != 0;
    struct fm_name name;
    if (new_bean) {
        struct fm_err err = {0};
        cr_assert_eq(fm_name_parse(&name, arena, line, &err), FM_OK, "%s: %s", line, err.text);
        cr_assert_lt(strlen(line), LAST_MAX);
        memcpy(last, line, strlen(line) + 1);
    }
    for (size_t i = 0; i < n; i++) {
        struct query *q = &queries[i];
        if (new_bean) {
            q->takes = takes(q, &name, arena);
            q->beans += q->takes;
        }
        for (size_t k = 0; q->takes && k < q->cfg->attributes.n; k++)
            if (fm_glob(q->cfg->attributes.items[k], attribute))
                q->seen[k] = true;
    }
}

static void read_dump(struct query *queries, size_t n, const char *file)
{
    static char line[1 << 16];
    char path[300], last[LAST_MAX] = "";
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    (void)snprintf(path, sizeof path, DUMPS "%s", file);
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    while (fgets(line, sizeof line, in) != NULL) {
        read_line(queries, n, &arena, line, last);
        fm_arena_reset(&arena);
    }
    (void)fclose(in);
    fm_arena_clear(&arena);
}

static void read_dumps(struct query *queries, size_t n, const char *const *starts)
{
    size_t files = 0;
    DIR *dir = opendir(DUMPS);
    cr_assert_not_null(dir);
    struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) {
        bool wanted = false;
        for (size_t i = 0; i < 4 && starts[i] != NULL; i++)
            wanted = wanted || strncmp(entry->d_name, starts[i], strlen(starts[i])) == 0;
        if (!wanted)
            continue;
        read_dump(queries, n, entry->d_name);
        files++;
    }
    (void)closedir(dir);
    cr_assert_gt(files, 0);
}

/* Names that the dumps do not show: versions and set-ups that were not at hand. */
static bool is_known_absent(const char *query, const char *name)
{
    static const char *const absent[] = {
        "hadoop/jvm Hadoop:name=JvmMetrics,service=DataNode",
        "tomcat/datasources Catalina:class=*,name=*,type=DataSource",
        "tomcat/executors Tomcat:name=*,type=Executor",
        "tomcat/executors Tomcat:type=UtilityExecutor",
        "tomcat/jsps Tomcat:type=JspMonitor,*",
        "tomcat/string-cache Tomcat:type=StringCache",
        "tomcat/datasources Tomcat:class=*,name=*,type=DataSource",
        "tomcat/datasources Tomcat:class=*,context=*,host=*,name=*,type=DataSource",
        "tomcat/server Tomcat:type=Server",
        "wildfly/listeners jboss.as:https-listener=*,server=*,subsystem=undertow",
        "wildfly/pools jboss.as:statistics=pool,subsystem=datasources,xa-data-source=*",
        "wildfly/statements jboss.as:statistics=jdbc,subsystem=datasources,xa-data-source=*",
        "zookeeper/server org.apache.ZooKeeperService:name0=ReplicatedServer_id*,name1=replica.*,"
        "name2=Observer",
    };
    char both[400];
    (void)snprintf(both, sizeof both, "%s %s", query, name);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (strcmp(absent[i], both) == 0)
            return true;
    return false;
}

static void judge(const struct query *q)
{
    const char *name = q->cfg->section.name;
    cr_expect_gt(q->beans, 0, "%s takes no bean", name);
    for (size_t i = 0; i < q->bean.n; i++)
        if ((q->alternatives & 1u << i) == 0)
            cr_expect(is_known_absent(name, q->bean.names[i].canonical), "%s: %s takes no bean",
                      name, q->bean.names[i].canonical);
    for (size_t k = 0; k < q->cfg->attributes.n; k++)
        cr_expect(q->seen[k], "%s: no bean has %s", name, q->cfg->attributes.items[k]);
}

static void check_preset(const char *preset, const char *const *dumps)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    char text[120];
    (void)snprintf(text, sizeof text, "[target:t]\nurl = x:1\npreset = %s\n", preset);
    struct fm_config *cfg = load(text, NULL, NULL);
    size_t n = cfg->targets[0].n_queries;
    struct query *queries = calloc(n, sizeof *queries);
    cr_assert_gt(n, 0);
    for (size_t i = 0; i < n; i++) {
        struct query *q = &queries[i];
        q->cfg = cfg->targets[0].queries[i];
        q->seen = calloc(q->cfg->attributes.n, sizeof *q->seen);
        parse_patterns(&q->bean, &arena, q->cfg->bean);
        parse_patterns(&q->exclude, &arena, q->cfg->exclude);
        cr_assert_leq(q->cfg->n_where, 4);
        for (size_t k = 0; k < q->cfg->n_where; k++)
            cr_assert_eq(regcomp(&q->where[k], q->cfg->where[k].regex, REG_EXTENDED | REG_NOSUB),
                         0);
    }
    read_dumps(queries, n, dumps);
    for (size_t i = 0; i < n; i++) {
        judge(&queries[i]);
        free(queries[i].seen);
        for (size_t k = 0; k < queries[i].cfg->n_where; k++)
            regfree(&queries[i].where[k]);
    }
    free(queries);
    fm_config_free(cfg);
    fm_arena_clear(&arena);
}

Test(presets, take_what_live_servers_show)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        check_preset(sources[i].preset, sources[i].dumps);
}

Test(presets, are_listed_by_name_and_all_tested)
{
    struct fm_preset preset, found;
    size_t i = 0;
    for (; fm_preset_at(i, &preset); i++) {
        cr_assert_lt(i, sizeof sources / sizeof sources[0]);
        cr_assert_str_eq(preset.name, sources[i].preset, "sorted, and each with its dumps");
        cr_assert(fm_preset_find(preset.name, &found));
        cr_assert_str_eq(found.text, preset.text);
        cr_assert_gt(strlen(preset.about), 10);
    }
    cr_assert_eq(i, sizeof sources / sizeof sources[0]);
    cr_assert_not(fm_preset_find("none", &found));
}

Test(presets, never_name_what_is_large_or_secret)
{
    static const char *const never[] = {"SystemProperties",
                                        "ClassPath",
                                        "InputArguments",
                                        "FirstMessageAsJSON",
                                        "LastGcInfo",
                                        "AllThreadIds",
                                        "assword",
                                        "ecret",
                                        "oken"};
    struct fm_preset preset;
    for (size_t i = 0; fm_preset_at(i, &preset); i++)
        for (size_t k = 0; k < sizeof never / sizeof never[0]; k++)
            cr_expect_null(strstr(preset.text, never[k]), "%s: %s", preset.name, never[k]);
}
