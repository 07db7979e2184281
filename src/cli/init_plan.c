/* JVMs to sections: which product it is, by what it is found again, and how it is reached. */
#include "cli/init_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "value/name.h"

/* The first row that matches wins. */
static const struct fm_product products[] = {
    {.preset = "tomcat", .main = "org.apache.catalina.startup.Bootstrap"},
    {.preset = "kafka-broker", .main = "kafka.Kafka"},
    {.preset = "kafka-connect", .main = "org.apache.kafka.connect.cli.Connect*"},
    {.preset = "kafka-connect", .main = "org.apache.kafka.connect.mirror.MirrorMaker"},
    {.preset = "zookeeper", .main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"},
    {.preset = "zookeeper", .main = "org.apache.zookeeper.server.ZooKeeperServerMain"},
    {.preset = "cassandra", .main = "org.apache.cassandra.service.CassandraDaemon"},
    {.preset = "artemis", .main = "org.apache.activemq.artemis.boot.Artemis"},
    {.preset = "activemq", .main = "activemq.jar"},
    {.preset = "activemq", .main = "org.apache.activemq.console.Main"},
    {.preset = "solr", .main = "start.jar", .option = " -Dsolr."},
    {.preset = "jetty", .main = "start.jar"},
    {.preset = "jetty", .main = "org.eclipse.jetty.start.Main"},
    {.preset = "jetty", .main = "org.eclipse.jetty.xml.XmlConfiguration"},
    {.preset = "wildfly", .main = "jboss-modules.jar"},
    {.preset = "wildfly", .main = "org.jboss.modules.Main"},
    {.preset = "hbase", .main = "org.apache.hadoop.hbase.*"},
    {.preset = "hadoop", .main = "org.apache.hadoop.hdfs.*"},
    {.main = "org.gradle.*", .tool = true},
    {.main = "worker.org.gradle.*", .tool = true},
    {.main = "org.codehaus.plexus.classworlds.launcher.Launcher", .tool = true},
    {.main = "surefirebooter*.jar", .tool = true},
    {.main = "org.jetbrains.*", .tool = true},
    {.main = "com.intellij.*", .tool = true},
    {.main = "org.eclipse.equinox.launcher*.jar", .tool = true},
    {.main = "sbt-launch*.jar", .tool = true},
    {.main = "xsbt.boot.Boot", .tool = true},
};

/* ---- main class or jar ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len > n && strcasecmp(text + len - n, end) == 0;
}

static bool is_file(const char *name)
{
    return ends_in(name, ".jar") || ends_in(name, ".war") || ends_in(name, ".java");
}

/* The whole name of a class, so that no other Main is meant; of a file its name without the path,
 * and of what cannot be written on one line the short name, in which odd bytes are replaced. */
static const char *main_of(const struct fm_jvm *jvm, struct fm_arena *arena)
{
    size_t len = strcspn(jvm->command, " ");
    bool plain = len > 0 && len <= 200 && jvm->command[0] != '/';
    for (size_t i = 0; i < len; i++)
        plain = plain && jvm->command[i] > ' ' && jvm->command[i] < 0x7f;
    if (is_file(jvm->name) || !plain)
        return jvm->name;
    return fm_arena_strndup(arena, jvm->command, len);
}

static bool product_matches(const struct fm_product *p, const struct fm_init_jvm *jvm)
{
    char whole[256];
    const char *command = jvm->jvm->command;
    (void)snprintf(whole, sizeof whole, "%.*s", (int)strcspn(command, " "), command);
    return (fm_glob(p->main, jvm->jvm->name) || fm_glob(p->main, whole)) &&
           (p->option == NULL || strstr(jvm->cmdline, p->option) != NULL);
}

const struct fm_product *fm_init_product(const struct fm_init_jvm *jvm)
{
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        if (product_matches(&products[i], jvm))
            return &products[i];
    return NULL;
}

/* ---- the pattern by which it is found again ---- */

/* Length of "orders" in "orders-1.2.jar"; 0 if no version begins there. */
static size_t before_version(const char *name)
{
    for (const char *dash = strchr(name, '-'); dash != NULL; dash = strchr(dash + 1, '-'))
        if (dash > name && dash[1] >= '0' && dash[1] <= '9')
            return (size_t)(dash - name);
    return 0;
}

/* A jar with a version in its name goes on being found behind the next deployment, as long as that
 * pattern means no other program that runs here. */
static const char *any_version(const struct fm_init_jvm *jvms, size_t n, const char *name,
                               struct fm_arena *arena)
{
    char glob[300];
    size_t len = before_version(name);
    const char *end = strrchr(name, '.');
    if (len == 0 || end == NULL || !is_file(name) || strlen(name) > 200)
        return name;
    (void)snprintf(glob, sizeof glob, "%.*s-*%s", (int)len, name, end);
    for (size_t i = 0; i < n; i++) {
        const char *other = jvms[i].jvm->name;
        if (fm_glob(glob, other) &&
            (before_version(other) != len || strncmp(other, name, len) != 0))
            return name;
    }
    return fm_arena_strndup(arena, glob, strlen(glob));
}

/* What is no text for the file becomes "?", which stands for any character. */
static const char *writable(const char *text, struct fm_arena *arena)
{
    char *copy = fm_arena_strndup(arena, text, strlen(text));
    if (copy == NULL || fm_utf8_valid(copy, strlen(copy)))
        return copy;
    for (char *p = copy; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    return copy;
}

static const char *glob_of(const struct fm_init_jvm *jvms, size_t n, size_t i,
                           struct fm_arena *arena)
{
    const char *name = main_of(jvms[i].jvm, arena);
    if (name != NULL)
        name = any_version(jvms, n, name, arena);
    return name != NULL ? writable(name, arena) : NULL;
}

/* ---- NAME of [target:NAME] ---- */

static bool taken(const struct fm_init_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_targets; i++)
        if (strcmp(plan->targets[i].name, name) == 0)
            return true;
    return false;
}

static void choose_name(const struct fm_init_plan *plan, const struct fm_product *product,
                        const char *name, char *out)
{
    enum { MOST = FM_INIT_NAME - 8 }; /* room for a number behind it */
    const char *from = product != NULL && product->preset != NULL ? product->preset : name;
    size_t version = from == name ? before_version(name) : 0;
    const char *dot = from == name && is_file(name) ? strrchr(name, '.') : NULL;
    size_t len = version > 0 ? version : dot != NULL ? (size_t)(dot - name) : strlen(from);
    char plain[MOST + 1];
    size_t n = 0;
    for (size_t i = 0; i < len && n < MOST; i++) {
        bool fits = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-",
                           from[i]) != NULL;
        if (fits || (n > 0 && plain[n - 1] != '-'))
            plain[n++] = fits ? from[i] : '-';
    }
    while (n > 0 && plain[n - 1] == '-')
        n--;
    plain[n] = '\0';
    const char *base = n > 0 ? plain : "jvm";
    (void)snprintf(out, FM_INIT_NAME + 1, "%s", base);
    for (unsigned i = 2; taken(plan, out) && i < 1000000; i++)
        (void)snprintf(out, FM_INIT_NAME + 1, "%s-%u", base, i);
}

/* ---- sections ---- */

static struct fm_init_target *find(const struct fm_init_plan *plan, const char *glob)
{
    for (size_t i = 0; i < plan->n_targets; i++)
        if (strcmp(plan->targets[i].glob, glob) == 0)
            return &plan->targets[i];
    return NULL;
}

/* Whether its connector is opened by its own options, each time it starts. */
static bool opens_itself(const struct fm_init_jvm *jvm)
{
    return strstr(jvm->cmdline, " -Dcom.sun.management.jmxremote") != NULL;
}

static void take(struct fm_init_target *t, const struct fm_init_jvm *jvm)
{
    enum fm_jvm_state state = jvm->jvm->state;
    bool reachable = state != FM_JVM_DENIED && state != FM_JVM_NO_ATTACH;
    t->jvms[t->n_jvms++] = jvm;
    t->usable = t->usable || (reachable && (t->product == NULL || !t->product->tool));
    t->attach = t->attach || (reachable && !(state == FM_JVM_OPEN && opens_itself(jvm)));
}

static void usable_first(struct fm_init_plan *plan, struct fm_init_target *sorted)
{
    size_t n = 0;
    for (int usable = 1; usable >= 0; usable--)
        for (size_t i = 0; i < plan->n_targets; i++)
            if (plan->targets[i].usable == (usable != 0))
                sorted[n++] = plan->targets[i];
    plan->targets = sorted;
    for (size_t i = 0; i < n; i++)
        plan->n_usable += sorted[i].usable;
}

static bool of_the_jdk(const struct fm_jvm *jvm)
{
    return (strncmp(jvm->command, "jdk.", 4) == 0 ||
            strncmp(jvm->command, "sun.tools.", 10) == 0) &&
           strstr(jvm->command, ".javac.launcher.") == NULL;
}

enum fm_code fm_init_plan(struct fm_init_plan *out, const struct fm_init_jvm *jvms, size_t n,
                          struct fm_arena *arena, struct fm_err *err)
{
    *out = (struct fm_init_plan){.n_targets = 0};
    out->targets = fm_arena_array(arena, n + 1, sizeof *out->targets);
    struct fm_init_target *sorted = fm_arena_array(arena, n + 1, sizeof *sorted);
    if (out->targets == NULL || sorted == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if (of_the_jdk(jvms[i].jvm))
            continue;
        const struct fm_product *product = fm_init_product(&jvms[i]);
        const char *glob = glob_of(jvms, n, i, arena);
        if (glob == NULL)
            return fm_err_nomem(err);
        struct fm_init_target *t = find(out, glob);
        if (t == NULL) {
            t = &out->targets[out->n_targets];
            *t = (struct fm_init_target){.glob = glob, .product = product};
            t->jvms = fm_arena_array(arena, n, sizeof(const struct fm_init_jvm *));
            if (t->jvms == NULL)
                return fm_err_nomem(err);
            choose_name(out, product, jvms[i].jvm->name, t->name);
            out->n_targets++;
        } else if (product != t->product)
            t->also = product; /* Solr and Jetty are both started by a start.jar */
        take(t, &jvms[i]);
    }
    usable_first(out, sorted);
    return FM_OK;
}
