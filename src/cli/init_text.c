/* The text of the configuration that `init` writes. */
#include "cli/init_priv.h"

#include <string.h>

#include "config/config.h"
#include "config/presets.h"

enum { MOST_SHOWN = 5 /* JVMs of one section that are named */ };

/* ---- what goes before the targets ---- */

static const char way_out[] =
    "# Not Confluent's proxy? karapace, strimzi or redpanda.\n"
    "#dialect = confluent\n"
    "# How to sign on, if the proxy asks for it: basic, bearer or oauth2. Secrets lie in files of\n"
    "# their own, mode 0600.\n"
    "#auth = basic\n"
    "#username = NAME\n"
    "#password_file = /etc/firstmile/rest.password\n"
    "# The CA of the proxy's certificate, if the system does not know it; the client's own "
    "certificate.\n"
    "#ca_file = /etc/firstmile/ca.pem\n"
    "#cert_file = /etc/firstmile/client.pem\n"
    "#key_file = /etc/firstmile/client.key\n"
    "# An HTTP proxy on the way out.\n"
    "#http_proxy = http://proxy.example.com:3128\n";

static void put_way_out(struct fm_buf *out, const struct fm_init_opts *opts)
{
    fm_buf_puts(out, "[rest]\n\n");
    if (opts->url == NULL)
        fm_buf_puts(out, "# TO BE FILLED IN: the base URL of your Kafka REST proxy. Until then "
                         "records go to a stand-in inside\n# the process, and nothing leaves this "
                         "host.\n#url = https://rest.example.com:8082\nurl = sandbox\n");
    else
        fm_buf_printf(out, "url = %s\n", opts->url);
    fm_buf_printf(out,
                  "# The topic must be there, unless the cluster makes topics by itself "
                  "(topic_auto_created = on).\ntopic = %s\n",
                  opts->topic != NULL ? opts->topic : "firstmile");
    fm_buf_puts(out, way_out);
}

static void put_head(struct fm_buf *out, const struct fm_init_opts *opts)
{
    struct fm_buf first;
    fm_buf_init(&first, 0);
    fm_buf_printf(&first,
                  "The configuration of firstmile, made by \"firstmile init\" from the JVMs of %s. "
                  "What it says is checked by \"firstmile check\"; every key there is, with its "
                  "default, is listed by \"firstmile help config\".",
                  opts->host);
    fm_config_comment(out, fm_buf_str(&first));
    fm_buf_clear(&first);
    fm_buf_puts(out, "\n[agent]\n\n# How this agent calls itself in every record; else by the "
                     "name of the host.\n#name = edge-7\n# Time between two polls of a "
                     "target.\n#interval = 10s\n\n");
    put_way_out(out, opts);
    fm_buf_puts(out, "\n[record]\n\n# Put into each record.\n#tags = env=prod, site=vienna\n\n");
}

/* ---- targets ---- */

/* Why it can be polled, or cannot. */
static const char *state_text(const struct fm_init_jvm *jvm)
{
    switch (jvm->jvm->state) {
    case FM_JVM_OPEN:
        return strstr(jvm->cmdline, " -Dcom.sun.management.jmxremote") != NULL
                   ? "its own options open its connector"
                   : "open since something attached to it; after its next start attach opens it";
    case FM_JVM_ATTACHABLE:
        return "opened no JMX connector: attach opens it, on loopback only";
    case FM_JVM_STARTING:
        return "is starting";
    case FM_JVM_NO_ATTACH:
    case FM_JVM_DENIED:
        break;
    }
    return jvm->jvm->note != NULL ? jvm->jvm->note : "cannot be polled";
}

static void put_jvm(struct fm_buf *out, const struct fm_init_jvm *jvm)
{
    struct fm_err line = {0}; /* makes one printable line of what a JVM says of itself */
    struct fm_buf text;
    const struct fm_jvm *j = jvm->jvm;
    fm_buf_init(&text, 0);
    (void)fm_err_set(&line, FM_OK, "pid %d of %.60s, Java %.40s", (int)j->pid, j->user, j->version);
    fm_buf_printf(&text, "%s: %s", line.text, state_text(jvm));
    fm_config_comment(out, fm_buf_str(&text));
    fm_buf_clear(&text);
}

static void put_presets(struct fm_buf *out, const struct fm_init_target *t)
{
    const struct fm_product *products[] = {t->product, t->also};
    for (size_t i = 0; i < 2; i++) {
        struct fm_preset preset;
        if (products[i] != NULL && products[i]->preset != NULL &&
            fm_preset_find(products[i]->preset, &preset))
            fm_config_comment(out, preset.about);
    }
}

static void put_keys(struct fm_buf *out, const struct fm_init_target *t, const char *mark)
{
    const struct fm_product *products[] = {t->product, t->also};
    fm_buf_printf(out, "%s[target:%s]\n%surl = local:", mark, t->name, mark);
    for (const char *p = t->glob; *p != '\0'; p++) /* a dollar begins a variable */
        fm_buf_puts(out, *p == '$' ? "$$" : (const char[]){*p, '\0'});
    fm_buf_printf(out, "\n%spreset = jvm", mark);
    for (size_t i = 0; i < 2; i++)
        if (products[i] != NULL && products[i]->preset != NULL)
            fm_buf_printf(out, ", %s", products[i]->preset);
    fm_buf_printf(out, "\n%sattach = %s\n\n", mark, t->attach || !t->usable ? "on" : "off");
}

static void put_target(struct fm_buf *out, const struct fm_init_target *t)
{
    put_presets(out, t);
    for (size_t i = 0; i < t->n_jvms && i < MOST_SHOWN; i++)
        put_jvm(out, t->jvms[i]);
    if (t->n_jvms > MOST_SHOWN)
        fm_buf_printf(out, "# and %zu more\n", t->n_jvms - MOST_SHOWN);
    if (t->product != NULL && t->product->tool)
        fm_buf_puts(out, "# Left out: a tool of who builds software, which comes and goes.\n");
    else if (!t->usable)
        fm_buf_puts(out, "# Left out: it cannot be polled like this.\n");
    put_keys(out, t, t->usable ? "" : "#");
}

static const char all_of_them[] = "url = local:*\n%spreset = jvm\n%sattach = on\n";

void fm_init_text(struct fm_buf *out, const struct fm_init_plan *plan,
                  const struct fm_init_opts *opts)
{
    put_head(out, opts);
    if (plan->n_usable > 0)
        fm_config_comment(
            out, "What is polled. A section follows its JVM through restarts, and each JVM that "
                 "its pattern matches. Besides the presets named there are more: firstmile presets "
                 "lists them (hikaricp and kafka-clients look into applications).");
    for (size_t i = 0; i < plan->n_targets; i++) {
        fm_buf_puts(out, i == 0 ? "\n" : "");
        put_target(out, &plan->targets[i]);
    }
    const char *mark = plan->n_usable > 0 ? "#" : "";
    fm_config_comment(out, plan->n_usable > 0
                               ? "In the place of all sections above: every JVM of this host, "
                                 "also those to come."
                               : "No JVM that can be polled was found: every one of this host that "
                                 "is started from now on.");
    fm_buf_printf(out, "%s[target:local]\n%s", mark, mark);
    fm_buf_printf(out, all_of_them, mark, mark);
    fm_buf_puts(out, "\n");
    fm_config_comment(out, "A JVM elsewhere, by its JMX port.");
    fm_buf_puts(out, "#[target:billing]\n#url = billing.example.com:9010\n#preset = jvm\n"
                     "#username = monitor\n#password_file = /etc/firstmile/jmx.password\n");
}
