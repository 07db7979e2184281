/* cli/cmd_presets.c - `presets [NAME]` */
#include "base/json.h"
#include "cli/cmd.h"
#include "config/nearest.h"
#include "config/presets.h"

static const struct fm_column columns[] = {{.name = "name"},
                                           {.name = "live"},
                                           {.name = "dump", .flex = true},
                                           {.name = "about", .wrap = true}};

static enum fm_code unknown(const char *name, struct fm_err *err)
{
    struct fm_nearest near = {.word = name};
    struct fm_preset preset;
    for (size_t i = 0; fm_preset_at(i, &preset); i++)
        fm_nearest_offer(&near, preset.name);
    const char *best = fm_nearest_word(&near);
    return fm_err_set(err, FM_EUSAGE, "presets: there is no preset \"%.60s\"; %s%s%s", name,
                      best != NULL ? "did you mean " : "firstmile presets lists them",
                      best != NULL ? best : "", best != NULL ? "?" : "");
}

static enum fm_code print_one(const struct fm_cli *cli, const struct fm_preset *preset)
{
    if (!cli->global.json) {
        (void)fputs(preset->text, stdout);
        return FM_OK;
    }
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_buf_puts(&out, "{\"name\":");
    fm_json_cstr(&out, preset->name);
    fm_buf_puts(&out, ",\"about\":");
    fm_json_cstr(&out, preset->about);
    fm_buf_puts(&out, ",\"text\":");
    fm_json_cstr(&out, preset->text);
    fm_buf_puts(&out, "}\n");
    (void)fputs(fm_buf_str(&out), stdout);
    fm_buf_clear(&out);
    return FM_OK;
}

static enum fm_code run_presets(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_preset preset;
    if (call->words.n > 0)
        return fm_preset_find(call->words.items[0], &preset) ? print_one(call->cli, &preset)
                                                             : unknown(call->words.items[0], err);
    struct fm_table table;
    fm_table_init(&table, columns, sizeof columns / sizeof columns[0], &call->cli->arena);
    for (size_t i = 0; fm_preset_at(i, &preset); i++) {
        fm_table_text(&table, preset.name);
        fm_table_text(&table, preset.live);
        fm_table_text(&table, preset.dump);
        fm_table_text(&table, preset.about);
    }
    const struct fm_table_style style = fm_cmd_style(call->cli);
    enum fm_code code = fm_table_print(&table, stdout, &style, err);
    fm_table_clear(&table);
    return code;
}

static const char *const text[] = {
    "A preset is a set of queries; preset = NAME in a [target:...] uses it. With PRESET its text "
    "is "
    "printed, ready to be copied into a configuration and changed.",
    "live: products and versions that it was run against, every query with values. dump: those "
    "whose "
    "list of MBeans alone it was compared with.",
    NULL,
};

const struct fm_cmd fm_cmd_presets = {
    .name = "presets",
    .args = "[PRESET]",
    .about = "list the shipped presets, or print one",
    .text = text,
    .max_words = 1,
    .json = true,
    .run = run_presets,
};
