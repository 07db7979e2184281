/* cli/usage.c - help, printed from the tables of commands and options. */
#include <string.h>

#include "cli/cmd.h"
#include "config/config.h"

enum { LINE = 88, INDENT = 26 };

/* Print text broken at blanks; the first line begins at column at, the others at indent. */
static void wrap(FILE *out, const char *text, int at, int indent)
{
    bool first = true;
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (!first && at + 1 + len > LINE) {
            (void)fprintf(out, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        (void)fprintf(out, "%s%.*s", first ? "" : " ", len, text);
        at += len + (first ? 0 : 1);
        first = false;
        text += len;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

/* A word in the left column, its meaning in the right one. */
static void entry(FILE *out, const char *left, const char *right)
{
    int used = fprintf(out, "  %s", left);
    if (used < 0)
        return;
    if (used + 2 > INDENT)
        (void)fprintf(out, "\n%*s", INDENT, "");
    else
        (void)fprintf(out, "%*s", INDENT - used, "");
    wrap(out, right, INDENT, INDENT);
}

static void flag_entries(FILE *out, const struct fm_flag *flags, bool with_json)
{
    for (const struct fm_flag *f = flags; f != NULL && f->name != NULL; f++) {
        char left[80];
        char letter[5] = "    ";
        if (!with_json && strcmp(f->name, "json") == 0)
            continue;
        if (f->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", f->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, f->name, f->arg != NULL ? " " : "",
                       f->arg != NULL ? f->arg : "");
        entry(out, left, f->help);
    }
}

void fm_help_main(FILE *out)
{
    (void)fprintf(out, "firstmile - JVM metrics to Kafka: JMX in, a REST proxy over HTTPS out\n\n"
                       "usage: firstmile [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n");
    const struct fm_cmd *cmd;
    for (size_t i = 0; (cmd = fm_cmd_at(i)) != NULL; i++)
        if (!cmd->hidden)
            entry(out, cmd->name, cmd->about);
    (void)fprintf(out, "\noptions of every command:\n");
    flag_entries(out, fm_cmd_globals(), true);
    (void)fprintf(out, "\n");
    wrap(out,
         "firstmile COMMAND --help says more about a command, firstmile help config lists the keys "
         "of the configuration. Exit codes: 0 done, 1 it failed, 2 usage or configuration error.",
         0, 0);
}

void fm_help_cmd(FILE *out, const struct fm_cmd *cmd)
{
    (void)fprintf(out, "usage: firstmile %s%s%s%s\n\n", cmd->name,
                  cmd->flags != NULL ? " [OPTIONS]" : "", cmd->args[0] != '\0' ? " " : "",
                  cmd->args);
    wrap(out, cmd->about, 0, 0);
    for (const char *const *p = cmd->text; p != NULL && *p != NULL; p++) {
        (void)fputc('\n', out);
        wrap(out, *p, 0, 0);
    }
    if (cmd->actions != NULL) {
        (void)fprintf(out, "\nactions:\n");
        for (const struct fm_action *a = cmd->actions; a->name != NULL; a++) {
            char left[80];
            (void)snprintf(left, sizeof left, "%s%s%s", a->name, a->args[0] != '\0' ? " " : "",
                           a->args);
            entry(out, left, a->about);
        }
    }
    if (cmd->flags != NULL) {
        (void)fprintf(out, "\noptions:\n");
        flag_entries(out, cmd->flags, true);
    }
    if (cmd->examples != NULL) {
        (void)fprintf(out, "\nexamples:\n");
        for (const char *const *p = cmd->examples; *p != NULL; p += 2)
            (void)fprintf(out, "  %s\n      %s\n", p[0], p[1]);
    }
    (void)fprintf(out, "\noptions of every command:\n");
    flag_entries(out, fm_cmd_globals(), cmd->json);
}

/* "duration; default 10s; reload needs a restart", for a key of the configuration. */
static void key_facts(const struct fm_config_key *key, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s%s%s%s%s%s", key->type, key->def[0] != '\0' ? "; default " : "",
                   key->def, key->secret ? "; secret, KEY_file reads it from a file" : "",
                   key->restart ? "; a change needs a restart" : "",
                   key->later != NULL ? "; not yet: " : "", key->later != NULL ? key->later : "");
}

void fm_help_config(FILE *out)
{
    struct fm_config_key key;
    const char *section = "";
    wrap(out,
         "Keys of the configuration, in config.ini as KEY = VALUE below [SECTION] or "
         "[SECTION:NAME], "
         "on the command line as -o SECTION.KEY=VALUE.",
         0, 0);
    for (size_t i = 0; fm_config_key_at(i, &key); i++) {
        char facts[400];
        if (strcmp(section, key.section) != 0)
            (void)fprintf(out, "\n[%s]\n", key.section);
        section = key.section;
        key_facts(&key, facts, sizeof facts);
        entry(out, key.key, key.help);
        (void)fprintf(out, "%*s", INDENT, "");
        (void)fputc('(', out);
        (void)fprintf(out, "%s)\n", facts);
    }
}

/* ---- the manual page ---- */

/* A text in roff: backslashes, leading dots and quotes, and hyphens that may be copied. */
static void roff(FILE *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'')
        (void)fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            (void)fputs("\\e", out);
        else if (*text == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*text, out);
    }
}

static void roff_line(FILE *out, const char *before, const char *text, const char *after)
{
    (void)fputs(before, out);
    roff(out, text);
    (void)fputs(after, out);
}

static void man_flags(FILE *out, const struct fm_flag *flags)
{
    for (const struct fm_flag *f = flags; f != NULL && f->name != NULL; f++) {
        (void)fputs(".TP\n", out);
        if (f->letter != 0)
            (void)fprintf(out, "\\fB\\-%c\\fR, ", f->letter);
        roff_line(out, "\\fB\\-\\-", f->name, "\\fR");
        if (f->arg != NULL)
            roff_line(out, " \\fI", f->arg, "\\fR");
        roff_line(out, "\n", f->help, "\n");
    }
}

static void man_cmd(FILE *out, const struct fm_cmd *cmd)
{
    roff_line(out, ".SS \"", cmd->name, "");
    roff_line(out, " ", cmd->flags != NULL ? "[OPTIONS] " : "", "");
    roff_line(out, "", cmd->args, "\"\n");
    roff_line(out, "", cmd->about, ".\n");
    for (const char *const *p = cmd->text; p != NULL && *p != NULL; p++)
        roff_line(out, ".PP\n", *p, "\n");
    for (const struct fm_action *a = cmd->actions; a != NULL && a->name != NULL; a++) {
        roff_line(out, ".TP\n\\fB", a->name, "\\fR ");
        roff_line(out, "", a->args, "\n");
        roff_line(out, "", a->about, "\n");
    }
    man_flags(out, cmd->flags);
    for (const char *const *p = cmd->examples; p != NULL && *p != NULL; p += 2) {
        roff_line(out, ".PP\n", p[1], ":\n");
        roff_line(out, ".RS\n.nf\n", p[0], "\n.fi\n.RE\n");
    }
}

static void man_keys(FILE *out)
{
    struct fm_config_key key;
    const char *section = "";
    for (size_t i = 0; fm_config_key_at(i, &key); i++) {
        char facts[400];
        if (strcmp(section, key.section) != 0)
            roff_line(out, ".SS \"[", key.section, "]\"\n");
        section = key.section;
        key_facts(&key, facts, sizeof facts);
        roff_line(out, ".TP\n\\fB", key.key, "\\fR (");
        roff_line(out, "", facts, ")\n");
        roff_line(out, "", key.help, "\n");
    }
}

void fm_help_man(FILE *out)
{
    (void)fprintf(
        out,
        ".\\\" Made by \"firstmile help --man\" from the program's tables; do not edit.\n"
        ".TH FIRSTMILE 1 \"\" \"firstmile %s\" \"User Commands\"\n"
        ".SH NAME\nfirstmile \\- JVM metrics to Kafka through a REST proxy, without a JVM\n"
        ".SH SYNOPSIS\n.B firstmile\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR "
        "[\\fIARGUMENTS\\fR]\n"
        ".SH DESCRIPTION\nfirstmile polls the MBeans of JVMs over JMX, keeps them as JSON "
        "records in a durable spool,\nand posts them in batches to a topic of a Kafka "
        "REST proxy over HTTPS.\nEvery record carries a sequence number; what had to be "
        "dropped is declared in the topic itself.\n"
        ".SH OPTIONS\nThese belong to every command:\n",
        FM_VERSION);
    man_flags(out, fm_cmd_globals());
    (void)fputs(".SH COMMANDS\n", out);
    const struct fm_cmd *cmd;
    for (size_t i = 0; (cmd = fm_cmd_at(i)) != NULL; i++)
        if (!cmd->hidden)
            man_cmd(out, cmd);
    (void)fputs(
        ".SH TARGET\nA TARGET is one of\n.TP\n\\fBpid:\\fIN\\fR\na JVM of this host\n"
        ".TP\n\\fBlocal:\\fIGLOB\\fR\na JVM of this host by main class or jar\n"
        ".TP\n\\fIhost\\fB:\\fIport\\fR\nJMX over RMI; short for the next\n"
        ".TP\n\\fBservice:jmx:rmi:///jndi/rmi://\\fIhost\\fB:\\fIport\\fB/jmxrmi\\fR\na service "
        "URL\n"
        ".TP\n\\fBhttp://\\fR... or \\fBhttps://\\fR...\na Jolokia agent\n"
        ".TP\n\\fINAME\\fR or \\fINAME\\fB/\\fIPART\\fR\na [target:NAME] of the configuration\n"
        ".PP\nFor all but the last, \\fB\\-o target.\\fIKEY\\fB=\\fIVALUE\\fR sets credentials, "
        "TLS and whether to attach.\n"
        ".SH CONFIGURATION\nINI: KEY = VALUE below [SECTION] or [SECTION:NAME]; comments begin "
        "with "
        "# at the start of a line.\nDurations are written 500ms, 10s, 5m, 2h, 7d; sizes 64KiB, "
        "1MiB, "
        "2GiB; switches on, off; lists with commas.\n${UPPER_CASE} and ${UPPER_CASE:\\-default} "
        "read "
        "the environment.\n",
        out);
    man_keys(out);
    (void)fputs(
        ".SH EXIT STATUS\n0 done; 1 it failed; 2 usage or configuration error.\n"
        ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nno colours, even on a terminal\n"
        ".TP\n\\fBXDG_STATE_HOME\\fR\nwhere the state of an ordinary user lies "
        "(default ~/.local/state)\n"
        ".SH FILES\n.TP\n\\fI./config.ini\\fR, \\fI/etc/firstmile/config.ini\\fR\nthe "
        "configuration\n"
        ".TP\n\\fI/var/lib/firstmile\\fR, \\fI$XDG_STATE_HOME/firstmile\\fR\nspool, lock and "
        "control "
        "socket\n"
        ".SH SIGNALS\n\\fBrun\\fR: SIGTERM and SIGINT drain and stop (a second one stops at once), "
        "SIGHUP reads the configuration again.\n",
        out);
}
