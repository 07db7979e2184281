/* Any bytes as a line of JSON, for any dialect (the first byte): what the quick look takes, the
 * tokens take too, and nothing that it takes is empty or a lone scalar. */
#include <stdlib.h>

#include "base/jscan.h"
#include "rest/rest_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum fm_rest_dialect dialect =
        (enum fm_rest_dialect)(data[0] % (FM_DIALECT_CONFLUENT_V3_BATCH + 1));
    const char *text = (const char *)data + 1;
    struct fm_err err = {0};
    enum fm_code quick = fm_rest_check_json(dialect, NULL, text, size - 1, &err);
    if (quick != fm_rest_judge_json(dialect, text, size - 1, NULL))
        abort();
    if ((quick == FM_OK) != (err.text[0] == '\0'))
        abort();
    if (fm_jscan_is_plain(text, size - 1, NULL, NULL)) {
        struct fm_jscan s;
        fm_jscan_init(&s, text, size - 1);
        enum fm_jtoken first = fm_jscan_next(&s);
        if ((first != FM_J_OBJECT && first != FM_J_ARRAY) || !fm_jscan_skip(&s, first) ||
            fm_jscan_next(&s) != FM_J_END)
            abort();
    }
    return 0;
}
