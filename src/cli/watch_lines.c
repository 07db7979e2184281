/* `watch` off a terminal: a line for each value and poll. The poll thread prints them: who reads
 * slowly is polled for slowly. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cmd_watch_priv.h"

static void put_rate(struct fm_buf *out, const struct fm_series *s, bool json)
{
    if (s->has_rate)
        fm_buf_printf(out, s->rate >= 1000 ? "%.1f" : "%.6g", s->rate);
    else if (json)
        fm_buf_puts(out, "null");
}

static void put_json_line(struct fm_buf *out, const struct fm_series *s, const char *time)
{
    fm_buf_printf(out, "{\"time\":\"%s\",\"target\":", time);
    fm_json_cstr(out, s->target);
    fm_buf_puts(out, ",\"bean\":");
    fm_json_cstr(out, s->bean);
    fm_buf_puts(out, ",\"name\":");
    fm_json_cstr(out, s->path);
    fm_buf_puts(out, ",\"value\":");
    fm_buf_put(out, s->json.data, s->json.len);
    fm_buf_puts(out, ",\"rate\":");
    put_rate(out, s, true);
    fm_buf_puts(out, "}\n");
}

/* A name that holds tabs or newlines would break the line. */
static void put_name(struct fm_buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        fm_buf_putc(out, (unsigned char)*text < 0x20 ? '?' : *text);
}

static void put_text_line(struct fm_buf *out, const struct fm_watch *w, const struct fm_series *s,
                          const char *time)
{
    fm_buf_printf(out, "%s\t", time);
    if (w->screen.several) {
        put_name(out, s->target);
        fm_buf_putc(out, ' ');
    }
    put_name(out, s->bean);
    fm_buf_putc(out, ' ');
    put_name(out, s->path);
    fm_buf_putc(out, '\t');
    fm_buf_put(out, s->text.data, s->text.len);
    fm_buf_putc(out, '\t');
    put_rate(out, s, false);
    fm_buf_putc(out, '\n');
}

static struct fm_watch_printed *printed_of(struct fm_watch *w, const char *target)
{
    for (size_t i = 0; i < w->n_printed; i++)
        if (strcmp(w->printed[i].target, target) == 0)
            return &w->printed[i];
    struct fm_watch_printed *list = realloc(w->printed, (w->n_printed + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    w->printed = list;
    list[w->n_printed].times = 0;
    list[w->n_printed].target = strdup(target);
    return list[w->n_printed].target != NULL ? &list[w->n_printed++] : NULL;
}

void fm_watch_print(struct fm_watch *w, const struct fm_sample *sample)
{
    char time[32];
    struct fm_buf out;
    struct fm_watch_printed *printed = printed_of(w, sample->target);
    if (printed == NULL || (w->opts->count > 0 && printed->times >= w->opts->count))
        return;
    printed->times++;
    fm_wall_text(sample->timestamp_ms, time);
    fm_buf_init(&out, 0);
    for (size_t i = 0; i < w->set.n; i++) {
        const struct fm_series *s = w->set.items[i];
        if (!s->here || strcmp(s->target, sample->target) != 0)
            continue;
        if (w->cli->global.json)
            put_json_line(&out, s, time);
        else
            put_text_line(&out, w, s, time);
    }
    if (w->cli->global.json)
        (void)fwrite(out.data, 1, out.len, stdout);
    else
        fm_cmd_print(w->cli, fm_buf_str(&out), out.len);
    fm_buf_clear(&out);
    if (fflush(stdout) != 0)
        w->broken = true;
}
