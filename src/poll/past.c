/* Counters of targets that are gone, by name: one that comes back under its name (a reload changed
 * it, its JVM was started again) counts on, so that no counter of a name goes back while the
 * process lives. The names that went last are kept; one beyond these begins at 0 again. */
#include <stdlib.h>
#include <string.h>

#include "poll/poll_priv.h"

enum { NAMES_MAX = 4096 };

struct fm_past {
    char *name;
    uint64_t errors, polls, failed, missed;
};

static void forget(struct fm_poll *poll, size_t i)
{
    free(poll->past[i].name);
    poll->n_past--;
    memmove(&poll->past[i], &poll->past[i + 1], (poll->n_past - i) * sizeof *poll->past);
}

void fm_past_keep(struct fm_poll *poll, const struct fm_target *t)
{
    if (t->polls + t->missed == 0)
        return;
    if (poll->n_past == NAMES_MAX)
        forget(poll, 0);
    if (poll->n_past == poll->cap_past) {
        size_t cap = poll->cap_past == 0 ? 16 : poll->cap_past * 2;
        struct fm_past *more = realloc(poll->past, cap * sizeof *more);
        if (more == NULL)
            return;
        poll->past = more;
        poll->cap_past = cap;
    }
    struct fm_past now = {.name = strdup(t->name),
                          .errors = t->errors,
                          .polls = t->polls,
                          .failed = t->failed,
                          .missed = t->missed};
    if (now.name != NULL)
        poll->past[poll->n_past++] = now;
}

void fm_past_take(struct fm_poll *poll, struct fm_target *t)
{
    for (size_t i = poll->n_past; i-- > 0;) {
        if (strcmp(poll->past[i].name, t->name) != 0)
            continue;
        t->errors = poll->past[i].errors;
        t->polls = poll->past[i].polls;
        t->failed = poll->past[i].failed;
        t->missed = poll->past[i].missed;
        forget(poll, i);
        return;
    }
}

void fm_past_free(struct fm_poll *poll)
{
    while (poll->n_past > 0)
        forget(poll, poll->n_past - 1);
    free(poll->past);
}
