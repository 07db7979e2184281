/* Records of strangers, one a line, into an audit; whatever they say, its sums must hold. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "record/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct fm_audit *audit, const char *text, size_t len)
{
    int64_t offset = 1;
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t line = end != NULL ? (size_t)(end - text) : len;
        const struct fm_audit_record rec = {
            .topic = "t", .offset = offset++, .key = "k", .value = text, .value_len = line};
        if (fm_audit_add(audit, &rec, NULL) != FM_OK)
            return;
        text += line + (end != NULL);
        len -= line + (end != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_audit *audit = NULL;
    const struct fm_audit_stream *s;
    if (size == 0 || fm_audit_new(&audit, 1 << 20, NULL) != FM_OK)
        return 0;
    if ((data[0] & 1) != 0 && fm_audit_partition(audit, "t", 0, 0, NULL) != FM_OK)
        abort();
    feed(audit, (const char *)data + 1, size - 1);
    if (fm_audit_finish(audit, NULL) == FM_OK)
        for (size_t i = 0; (s = fm_audit_stream(audit, i)) != NULL; i++)
            assert(s->highest == s->seen + s->lost + s->pending + s->cut + s->missing);
    fm_audit_free(audit);
    return 0;
}
