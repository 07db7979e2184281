/* `init`: what it makes of JVMs, and how it writes it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/init_priv.h"
#include "config/config.h"
#include "localjvm.h"
#include "program.h"

/* ---- from JVMs to text ---- */

static struct fm_arena arena;
static struct fm_buf text;

static void fresh(void)
{
    program_set_up();
    fm_arena_init(&arena, 0);
    fm_buf_init(&text, 0);
}

static void done(void)
{
    fm_buf_clear(&text);
    fm_arena_clear(&arena);
    program_tear_down();
}

TestSuite(init, .init = fresh, .fini = done, .timeout = 60);

enum { MOST = 8 };
static struct fm_jvm jvms[MOST];
static struct fm_init_jvm seen[MOST];
static size_t n_jvms;

/* The name is what jmx/local makes of a command: given here, so that odd ones can be had. */
static void add(const char *command, const char *name, enum fm_jvm_state state, const char *cmdline)
{
    jvms[n_jvms] = (struct fm_jvm){.pid = (pid_t)(100 + n_jvms),
                                   .user = "app",
                                   .version = "17.0.15",
                                   .command = command,
                                   .name = name,
                                   .state = state};
    seen[n_jvms] = (struct fm_init_jvm){&jvms[n_jvms], cmdline};
    n_jvms++;
}

/* The text, which must load. */
static struct fm_config *made(const char *url)
{
    struct fm_init_plan plan;
    const struct fm_init_opts opts = {.host = "web-1", .url = url};
    cr_assert_eq(fm_init_plan(&plan, seen, n_jvms, &arena, NULL), FM_OK);
    fm_buf_reset(&text);
    fm_init_text(&text, &plan, &opts);
    program_file("made.ini", fm_buf_str(&text));
    char path[128];
    (void)snprintf(path, sizeof path, "%s/made.ini", folder);
    struct fm_config *config = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_config_load(&config, path, NULL, &err), FM_OK, "%s\n%s", fm_err_text(&err),
                 fm_buf_str(&text));
    return config;
}

static void expect_target(const struct fm_config *config, size_t i, const char *name,
                          const char *url, const char *preset, bool attach)
{
    cr_assert_lt(i, config->n_targets, "only %zu targets\n%s", config->n_targets,
                 fm_buf_str(&text));
    const struct fm_cfg_target *t = &config->targets[i];
    cr_expect_str_eq(t->section.name, name);
    cr_expect_str_eq(t->url, url);
    cr_expect_str_eq(t->preset.items[t->preset.n - 1], preset);
    cr_expect_str_eq(t->preset.items[0], "jvm");
    cr_expect_eq(t->attach, attach, "%s", name);
}

static void expect_text(const char *what)
{
    cr_expect(strstr(fm_buf_str(&text), what) != NULL, "no \"%s\" in:\n%s", what,
              fm_buf_str(&text));
}

Test(init, recognises_products_by_main_class_and_jar)
{
    static const struct {
        const char *command, *name, *cmdline, *preset;
    } rows[] = {
        {"org.apache.catalina.startup.Bootstrap start", "Bootstrap", "", "tomcat"},
        {"kafka.Kafka /etc/server.properties", "Kafka", "", "kafka-broker"},
        {"org.apache.kafka.connect.cli.ConnectDistributed c", "ConnectDistributed", "",
         "kafka-connect"},
        {"org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg", "QuorumPeerMain", "",
         "zookeeper"},
        {"org.apache.cassandra.service.CassandraDaemon", "CassandraDaemon", "", "cassandra"},
        {"org.apache.activemq.artemis.boot.Artemis run", "Artemis", "", "artemis"},
        {"/opt/activemq/bin/activemq.jar start", "activemq.jar", "", "activemq"},
        {"start.jar --module=http", "start.jar", "java -Dsolr.solr.home=/s -jar start.jar", "solr"},
        {"/opt/jetty/start.jar", "start.jar", "java -jar /opt/jetty/start.jar", "jetty"},
        {"/opt/wildfly/jboss-modules.jar -mp /m", "jboss-modules.jar", "", "wildfly"},
        {"org.apache.hadoop.hbase.master.HMaster start", "HMaster", "", "hbase"},
        {"org.apache.hadoop.hdfs.server.namenode.NameNode", "NameNode", "", "hadoop"},
        {"com.example.kafka.Kafka", "Kafka", "", NULL},
        {"org.apache.catalina.startup.BootstrapX", "BootstrapX", "", NULL},
        {"/srv/notstart.jar", "notstart.jar", "java -Dsolr.x", NULL},
        {"", "unknown", "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        n_jvms = 0;
        add(rows[i].command, rows[i].name, FM_JVM_ATTACHABLE, rows[i].cmdline);
        const struct fm_product *product = fm_init_product(&seen[0]);
        if (rows[i].preset == NULL) {
            cr_expect_null(product, "%s", rows[i].command);
            continue;
        }
        cr_assert_not_null(product, "%s", rows[i].command);
        cr_expect_str_eq(product->preset, rows[i].preset);
        struct fm_config *config = made(NULL); /* so each preset of the table is a shipped one */
        cr_expect_str_eq(config->targets[0].preset.items[1], rows[i].preset);
        fm_config_free(config);
    }
}

Test(init, makes_a_section_for_each_application)
{
    n_jvms = 0;
    add("org.apache.catalina.startup.Bootstrap start", "Bootstrap", FM_JVM_OPEN,
        "java -Dcom.sun.management.jmxremote -cp x");
    add("com.example.Orders --db-password=geheim", "Orders", FM_JVM_ATTACHABLE, "");
    add("com.example.Orders two", "Orders", FM_JVM_ATTACHABLE, "");
    add("com.example.Probe", "Probe", FM_JVM_OPEN, "java com.example.Probe");
    add("jdk.jcmd/sun.tools.jps.Jps", "Jps", FM_JVM_ATTACHABLE, "");
    struct fm_config *config = made("https://rest.example.com:8082");
    cr_expect_eq(config->n_targets, 3);
    expect_target(config, 0, "tomcat", "local:org.apache.catalina.startup.Bootstrap", "tomcat",
                  false);
    expect_target(config, 1, "Orders", "local:com.example.Orders", "jvm", true);
    expect_target(config, 2, "Probe", "local:com.example.Probe", "jvm", true);
    cr_expect_str_eq(config->rest.url.items[0], "https://rest.example.com:8082");
    expect_text("# pid 101 of app, Java 17.0.15: opened no JMX connector");
    expect_text("# pid 102 of app");
    cr_expect_null(strstr(fm_buf_str(&text), "geheim"), "arguments may be secrets");
    cr_expect_null(strstr(fm_buf_str(&text), "Jps"));
    fm_config_free(config);
}

Test(init, finds_a_jar_again_behind_its_next_version)
{
    n_jvms = 0;
    add("/srv/orders-1.2.3.jar", "orders-1.2.3.jar", FM_JVM_ATTACHABLE, "");
    add("/srv/orders-1.3.0.jar", "orders-1.3.0.jar", FM_JVM_ATTACHABLE, "");
    add("/srv/mail-7.jar", "mail-7.jar", FM_JVM_ATTACHABLE, "");
    add("/srv/mail-api.jar", "mail-api.jar", FM_JVM_ATTACHABLE, "");
    add("/srv/plain.war", "plain.war", FM_JVM_ATTACHABLE, "");
    struct fm_config *config = made(NULL);
    cr_expect_eq(config->n_targets, 4);
    expect_target(config, 0, "orders", "local:orders-*.jar", "jvm", true);
    expect_target(config, 1, "mail", "local:mail-7.jar", "jvm", true); /* mail-* is the api too */
    expect_target(config, 2, "mail-api", "local:mail-api.jar", "jvm", true);
    expect_target(config, 3, "plain", "local:plain.war", "jvm", true);
    fm_config_free(config);
}

Test(init, writes_down_what_it_leaves_out_and_why)
{
    n_jvms = 0;
    add("com.example.Closed", "Closed", FM_JVM_NO_ATTACH, "");
    jvms[0].note = "refuses attach";
    add("com.example.Foreign", "Foreign", FM_JVM_DENIED, "");
    jvms[1].note = "belongs to user kafka; run as that user";
    add("org.gradle.launcher.daemon.bootstrap.GradleDaemon 8.5", "GradleDaemon", FM_JVM_OPEN, "");
    add("com.example.Live", "Live", FM_JVM_OPEN, "java -Dcom.sun.management.jmxremote.port=1");
    struct fm_config *config = made(NULL);
    cr_expect_eq(config->n_targets, 1);
    expect_target(config, 0, "Live", "local:com.example.Live", "jvm", false);
    expect_text("Java 17.0.15: refuses attach\n# Left out: it cannot be polled");
    expect_text("belongs to user kafka; run as that user\n");
    expect_text("#[target:Foreign]\n#url = local:com.example.Foreign\n");
    expect_text("# Left out: a tool");
    fm_config_free(config);
    n_jvms = 3;
    config = made(NULL); /* nobody is left: then all that comes */
    cr_expect_eq(config->n_targets, 1);
    expect_target(config, 0, "local", "local:*", "jvm", true);
    fm_config_free(config);
}

Test(init, is_useful_where_no_jvm_runs)
{
    n_jvms = 0;
    struct fm_config *config = made(NULL);
    cr_expect(config->rest.sandbox);
    cr_expect_eq(config->n_targets, 1);
    expect_target(config, 0, "local", "local:*", "jvm", true);
    expect_text("No JVM that can be polled was found");
    fm_config_free(config);
}

Test(init, writes_the_oddest_names_as_values_and_nothing_else)
{
    static char longest[400];
    memset(longest, 'x', sizeof longest - 1);
    n_jvms = 0;
    add("com.example.Outer$Inner${HOME}$$", "Outer$Inner${HOME}$$", FM_JVM_ATTACHABLE, "");
    add("/srv/my app, the \"second\" [one] = #1.jar", "my app, the \"second\" [one] = #1.jar",
        FM_JVM_ATTACHABLE, "");
    add("/\xc3\xa4\xe2\x82\xac.jar", "\xc3\xa4\xe2\x82\xac.jar", FM_JVM_ATTACHABLE, "");
    add("/\xff\xfe.jar", "\xff\xfe.jar", FM_JVM_ATTACHABLE, "");
    add("...", "...", FM_JVM_ATTACHABLE, "");
    add(longest, longest, FM_JVM_ATTACHABLE, "");
    add("a\nb]", "a_b]", FM_JVM_ATTACHABLE, "");
    jvms[6].user = "u\n[target:x]\nurl = pid:1";
    struct fm_config *config = made(NULL);
    cr_expect_eq(config->n_targets, 7, "%s", fm_buf_str(&text));
    expect_target(config, 0, "Outer-Inner-HOME", "local:com.example.Outer$Inner${HOME}$$", "jvm",
                  true);
    expect_target(config, 1, "my-app-the-second-one-1",
                  "local:my app, the \"second\" [one] = #1.jar", "jvm", true);
    expect_target(config, 2, "jvm", "local:\xc3\xa4\xe2\x82\xac.jar", "jvm", true);
    expect_target(config, 3, "jvm-2", "local:??.jar", "jvm", true);
    expect_target(config, 6, "a_b", "local:a_b]", "jvm", true);
    fm_config_free(config);
}

Test(init, numbers_the_names_that_would_be_taken_twice)
{
    n_jvms = 0;
    add("a.Main", "Main", FM_JVM_ATTACHABLE, "");
    add("b.Main", "Main", FM_JVM_ATTACHABLE, "");
    add("start.jar", "start.jar", FM_JVM_ATTACHABLE, " -Dsolr.solr.home=x");
    add("start.jar", "start.jar", FM_JVM_ATTACHABLE, "");
    struct fm_config *config = made(NULL);
    cr_expect_eq(config->n_targets, 3);
    expect_target(config, 0, "Main", "local:a.Main", "jvm", true);
    expect_target(config, 1, "Main-2", "local:b.Main", "jvm", true);
    expect_target(config, 2, "solr", "local:start.jar", "jetty", true); /* both, polled once */
    cr_expect_str_eq(config->targets[2].preset.items[1], "solr");
    fm_config_free(config);
}

/* ---- the command ---- */

static size_t files_in_folder(void)
{
    DIR *dir = opendir(folder);
    size_t n = 0;
    const struct dirent *entry;
    cr_assert_not_null(dir);
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static void expect_file(const char *name, const char *what)
{
    char path[200], content[64 * 1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "no %s", path);
    size_t n = fread(content, 1, sizeof content - 1, file);
    (void)fclose(file);
    content[n] = '\0';
    cr_expect(strstr(content, what) != NULL, "no \"%s\" in %s", what, content);
}

Test(init, writes_a_file_that_check_likes_and_never_over_another)
{
    const char *const options[] = {"jar=init-fixture-1.0.jar", NULL};
    struct localjvm jvm = localjvm_start(options, NULL);
    struct stat st;
    char path[128];
    cr_expect_eq(RUN("init", "--url", "https://rest.example.com:8082", "--topic", "jvms"), 0, "%s",
                 result.err);
    cr_expect_str_eq(result.out, "");
    expect_err("firstmile: config.ini written; JVMs: ");
    expect_err("next: look at [rest] in it, then firstmile check\n");
    expect_file("config.ini", "[target:init-fixture]\nurl = local:init-fixture-*.jar\n");
    expect_file("config.ini", "url = https://rest.example.com:8082\n");
    (void)snprintf(path, sizeof path, "%s/config.ini", folder);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect_eq(st.st_nlink, 1);
    cr_expect_eq(RUN("check", "--offline"), 0, "%s%s", result.out, result.err);

    cr_expect_eq(RUN("init"), 1);
    expect_sentence("config.ini is there already and stays as it is; --force replaces it");
    expect_file("config.ini", "https://rest.example.com:8082");
    cr_expect_eq(RUN("init", "-q", "--force", "config.ini"), 0);
    cr_expect_str_eq(result.err, "");
    expect_file("config.ini", "url = sandbox\n");
    cr_expect_eq(files_in_folder(), 1, "something was left behind");
    localjvm_kill(&jvm);
}

Test(init, prints_and_writes_nothing_when_asked_to)
{
    cr_expect_eq(RUN("init", "--stdout"), 0);
    expect_out("[rest]\n");
    cr_expect_str_eq(result.err, "");
    cr_expect_eq(RUN("init", "-"), 0);
    expect_out("[rest]\n");
    cr_expect_eq(files_in_folder(), 0);
}

Test(init, takes_the_place_from_c_too_and_follows_a_link_only_by_force)
{
    char link[128];
    cr_expect_eq(RUN("init", "-c", "other.ini"), 0);
    expect_err("then firstmile check -c other.ini\n");
    (void)snprintf(link, sizeof link, "%s/link.ini", folder);
    cr_assert_eq(symlink("real.ini", link), 0);
    cr_expect_eq(RUN("init", "link.ini"), 1); /* a link to nowhere is something, too */
    expect_sentence("is there already");
    program_file("real.ini", "old\n");
    cr_expect_eq(RUN("init", "link.ini", "--force"), 0, "%s", result.err);
    expect_file("real.ini", "[rest]");
    struct stat st;
    cr_expect(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link is gone");
}

Test(init, says_why_it_cannot_write)
{
    cr_expect_eq(RUN("init", "no/such/folder/config.ini"), 1);
    expect_sentence("no/such/folder/config.ini: No such file or directory; make its folder first");
    cr_expect_eq(RUN("init", "."), 2);
    expect_sentence("init: . is a folder; name a file");
    cr_expect_eq(RUN("init", "--force", "/proc/firstmile.ini"), 1);
    expect_sentence("init: cannot write /proc/firstmile.ini");
    cr_expect_eq(RUN("init", "one", "two"), 2);
    expect_sentence("\"two\" is one argument too many");
    cr_expect_eq(files_in_folder(), 0);
}

Test(init, refuses_settings_that_check_would_refuse)
{
    cr_expect_eq(RUN("init", "--url", "rest.example.com"), 2);
    expect_sentence("init: --url: \"rest.example.com\" is neither https://HOST nor http://HOST");
    cr_expect_eq(RUN("init", "--url", "https://user:secret@rest.example.com"), 2);
    expect_sentence("init: --url: a URL may not hold a user or a password");
    cr_expect_eq(RUN("init", "--topic", "a b"), 2);
    expect_sentence("init: --topic: \"a b\" is no topic name");
    cr_expect_eq(RUN("init", "--url", "https://a\n[target:x]"), 2);
    expect_sentence("init: --url: ");
    cr_expect_eq(RUN("init", "-o", "rest.url=https://x"), 2);
    expect_sentence("there are --url and --topic");
    cr_expect_eq(files_in_folder(), 0);
}
