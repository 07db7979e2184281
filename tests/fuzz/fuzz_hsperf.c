/* hsperfdata files: any bytes must be walked without a read outside of them. */
#include <stdint.h>
#include <string.h>

#include "jmx/local/local_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_hsperf hs;
    struct fm_hsperf_entry e;
    size_t at = 0;
    uint32_t index = 0;
    volatile size_t sum = 0;
    if (fm_hsperf_init(&hs, data, size, NULL) != FM_OK)
        return 0;
    while (fm_hsperf_next(&hs, &at, &index, &e)) {
        sum += strlen(e.name);
        for (size_t i = 0; e.text != NULL && i < e.text_len; i++)
            sum += (unsigned char)e.text[i];
    }
    return 0;
}
