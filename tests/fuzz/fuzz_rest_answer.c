/* Any bytes as a proxy's answer: nothing may be read out of bounds, and no record may count as
 * accepted without its own entry. The first two bytes choose dialect, records and status. */
#include <stdlib.h>

#include "rest/answer_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 207, 400, 401, 404, 422, 429, 500, 503};
    static const int32_t partitions[8] = {0, 1, 2, 0, 1, 2, 0, 1};
    if (size < 2)
        return 0;
    size_t n = 1 + data[0] / 6 % 8, len = size - 2;
    char *body = malloc(len + 1);
    if (body == NULL)
        return 0;
    for (size_t i = 0; i < len; i++)
        body[i] = (char)data[2 + i];
    body[len] = '\0';
    struct fm_http_answer http = {.status = statuses[data[1] % 9],
                                  .body = body,
                                  .body_len = len,
                                  .failure = data[1] >= 250 ? FM_HTTP_BROKEN : FM_HTTP_OK,
                                  .body_sent = true};
    struct fm_offset_watch watch = {.asked = partitions, .n = n, .cluster = "C"};
    struct fm_sent sent = {
        .watch = &watch,
        .dialect = (enum fm_rest_dialect)(data[0] % (FM_DIALECT_CONFLUENT_V3_BATCH + 1)),
        .n_records = n,
        .all_partitions = data[1] % 2 == 0,
        .partitions = partitions};
    struct fm_verdict verdicts[8];
    struct fm_judgement j;
    char text[100];
    if (fm_judge(&j, verdicts, &sent, &http, NULL) == FM_OK) {
        if (j.accepted > 0 && len < 10)
            abort();
        fm_verdict_text(&j.top, http.status, text, sizeof text);
    }
    free(body);
    return 0;
}
