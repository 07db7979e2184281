/* Any bytes as what a proxy answers to a consumer. */
#include <stdlib.h>

#include "rest/consumer_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum fm_code touch(void *arg, const struct fm_rest_consumed *r, struct fm_err *err)
{
    size_t *sum = arg;
    (void)err;
    if (r->partition < 0 || r->offset < 0)
        abort();
    for (size_t i = 0; i < r->value_len; i++)
        *sum += (unsigned char)r->value[i];
    for (size_t i = 0; i < r->n_headers; i++)
        *sum += r->headers[i].name_len + r->headers[i].value_len;
    return FM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct fm_consume_scratch scratch;
    struct fm_http_answer http = {.status = 404, .body = text, .body_len = size};
    int32_t *partitions;
    int64_t begin, end;
    size_t n, sum = 0;
    char name[64];
    fm_consume_scratch_init(&scratch);
    for (int binary = 0; binary < 2; binary++)
        if (fm_consume_records(text, size, binary == 1, "t", &scratch, touch, &sum, NULL) ==
                FM_OK &&
            size < 2)
            abort();
    fm_consume_scratch_clear(&scratch);
    if (fm_consume_partitions(text, size, &partitions, &n, NULL) == FM_OK && n == 0)
        abort();
    free(partitions);
    if (fm_consume_ends(text, size, &begin, &end) && end < begin)
        abort();
    (void)fm_consume_created(text, size, name, sizeof name);
    for (int step = 1; step <= FM_CONSUME_DELETE; step *= 2)
        if (fm_consume_judge((enum fm_consume_step)step, &http)->cls == FM_CONSUME_OK)
            abort();
    fm_consume_text(&http, name, sizeof name);
    return 0;
}
