/* cli/cmd_jvms.c - `jvms` */
#include "cli/cmd.h"
#include "jmx/local.h"

static const struct fm_column columns[] = {
    {.name = "pid", .right = true}, {.name = "user"},  {.name = "version"},
    {.name = "name", .fold = true}, {.name = "state"}, {.name = "attach"},
    {.name = "note", .wrap = true},
};

static enum fm_colour colour_of(enum fm_jvm_state state)
{
    switch (state) {
    case FM_JVM_OPEN:
        return FM_GREEN;
    case FM_JVM_ATTACHABLE:
    case FM_JVM_STARTING:
        return FM_YELLOW;
    case FM_JVM_NO_ATTACH:
    case FM_JVM_DENIED:
        return FM_RED;
    }
    return FM_PLAIN;
}

static enum fm_code run_jvms(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_jvm *jvms = NULL;
    size_t n = 0;
    FM_TRY(fm_jvms_find(&jvms, &n, &call->cli->arena, NULL, err));
    struct fm_table table;
    fm_table_init(&table, columns, sizeof columns / sizeof columns[0], &call->cli->arena);
    for (size_t i = 0; i < n; i++) {
        fm_table_int(&table, jvms[i].pid);
        fm_table_text(&table, jvms[i].user);
        fm_table_text(&table, jvms[i].version);
        fm_table_text(&table, jvms[i].name);
        fm_table_text(&table, fm_jvm_state_name(jvms[i].state));
        fm_table_colour(&table, colour_of(jvms[i].state));
        if (jvms[i].state == FM_JVM_OPEN)
            fm_table_text(&table, NULL); /* nobody needs to attach */
        else
            fm_table_bool(&table, jvms[i].state == FM_JVM_ATTACHABLE);
        fm_table_text(&table, jvms[i].note);
    }
    const struct fm_table_style style = fm_cmd_style(call->cli);
    enum fm_code code = fm_table_print(&table, stdout, &style, err);
    fm_table_clear(&table);
    if (code == FM_OK && n == 0)
        fm_cmd_note(call->cli,
                    "no JVM found on this host; JVMs run with -XX:-UsePerfData cannot be seen");
    return code;
}

static const char *const text[] = {
    "State: open (its local connector is there and can be polled), attachable (target.attach=on "
    "opens it), no attach (the JVM forbids it), denied (it belongs to another user), starting.",
    NULL,
};
static const char *const examples[] = {"firstmile jvms --json",
                                       "the same as a JSON array, for scripts", NULL};

const struct fm_cmd fm_cmd_jvms = {
    .name = "jvms",
    .args = "",
    .about = "list the JVMs of this host and whether they can be polled",
    .text = text,
    .examples = examples,
    .json = true,
    .run = run_jvms,
};
