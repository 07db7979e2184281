/* What does not answer: MBeans whose getters hang, a registry that is silent. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/rmi/driver_priv.h"

enum { FIRST_BACKOFF_MS = 60 * 1000, MAX_BACKOFF_MS = 10 * 60 * 1000 };

static struct fm_rmi_slow *find(struct fm_rmi *d, const char *name)
{
    for (size_t i = 0; i < d->n_slow; i++)
        if (strcmp(d->slow[i].name, name) == 0)
            return &d->slow[i];
    return NULL;
}

const struct fm_rmi_slow *fm_rmi_slow_find(const struct fm_rmi *d, const char *name)
{
    for (size_t i = 0; i < d->n_slow; i++)
        if (strcmp(d->slow[i].name, name) == 0)
            return &d->slow[i];
    return NULL;
}

void fm_rmi_slow_note(struct fm_rmi *d, const char *name)
{
    struct fm_rmi_slow *s = find(d, name);
    if (s == NULL) { /* the JVM as a whole may have paused: only asked last, for now */
        if (d->n_slow == FM_RMI_MAX_SLOW)
            return;
        char *copy = strdup(name);
        if (copy != NULL)
            d->slow[d->n_slow++] = (struct fm_rmi_slow){.name = copy};
        return;
    }
    s->backoff_ms = s->backoff_ms == 0 ? FIRST_BACKOFF_MS : s->backoff_ms * 2;
    if (s->backoff_ms > MAX_BACKOFF_MS)
        s->backoff_ms = MAX_BACKOFF_MS;
    s->until_ms = fm_clock_ms() + s->backoff_ms;
    fm_log(d->log, FM_LOG_WARN, "%s: %s does not answer and is left out for %d s", d->url, name,
           (int)(s->backoff_ms / 1000));
}

void fm_rmi_slow_answered(struct fm_rmi *d, const char *name)
{
    struct fm_rmi_slow *s = find(d, name);
    if (s == NULL)
        return;
    free(s->name);
    *s = d->slow[--d->n_slow];
}

void fm_rmi_slow_clear(struct fm_rmi *d)
{
    while (d->n_slow > 0)
        free(d->slow[--d->n_slow].name);
}

const char *fm_rmi_silence(const struct fm_rmi *d)
{
    if (d->step != FM_RMI_LOOKUP || !d->link.open)
        return "";
    return d->tls_registry ? "; is it the RMI port of a JVM?"
                           : "; is it the RMI port of a JVM? One with TLS wants tls = registry, an "
                             "HTTP port (Jolokia) a url that begins with http://";
}
