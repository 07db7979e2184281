/* What records:batch asks of its entries. */
#include <string.h>

#include "sandbox/v3_priv.h"

bool fm_v3_batch_id(const struct fm_v3_note *note)
{
    static const char legal[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    if (note->id == NULL || note->id_len == 0 || note->id_len > 80)
        return false;
    for (size_t i = 0; i < note->id_len; i++)
        if (memchr(legal, note->id[i], sizeof legal - 1) == NULL)
            return false;
    return true;
}

bool fm_v3_batch_unmapped(struct fm_v2 *v2, const struct fm_v3_note *note)
{
    const char *text = note->text != NULL ? note->text : "";
    bool unknown = strncmp(text, "Unrecognized field", 18) == 0;
    if (note->code != 400 || (!unknown && strncmp(text, "Cannot ", 7) != 0))
        return false;
    int code = unknown ? 422 : 400;
    fm_v3_error(&v2->reply, (unsigned)code, code, "%s", text);
    return true;
}

static bool alike(const struct fm_v3_note *a, const struct fm_v3_note *b)
{
    return a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0;
}

const char *fm_v3_batch_fault(const struct fm_v2 *v2, size_t most)
{
    if (v2->job.n == 0)
        return "Empty batch.";
    if (v2->job.n > most)
        return "Too many entries in batch.";
    for (size_t i = 1; i < v2->job.n; i++)
        for (size_t k = 0; k < i; k++)
            if (alike(&v2->notes[i], &v2->notes[k]))
                return "Batch entry IDs are not distinct.";
    return NULL;
}
