/* Lines of JSON one after another: what is compared with the lines before is judged as each line
 * alone, token by token. The first byte is the dialect. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/jlike.h"
#include "rest/rest_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum fm_rest_dialect dialect = (enum fm_rest_dialect)(data[0] % (FM_DIALECT_REDPANDA + 1));
    const char *text = (const char *)data + 1, *end = (const char *)data + size;
    struct fm_jlike *seen = fm_jlike_new();
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t len = stop != NULL ? (size_t)(stop - text) : (size_t)(end - text);
        if (fm_rest_check_json(dialect, seen, text, len, NULL) !=
            fm_rest_judge_json(dialect, text, len, NULL))
            abort();
        text += len + 1;
        if (stop == NULL)
            break;
    }
    fm_jlike_free(seen);
    return 0;
}
