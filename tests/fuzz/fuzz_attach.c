/* What a JVM answers to an attach request: code, properties text, address. */
#include <stdint.h>

#include "jmx/local/local_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t len = size;
    int code = 0;
    struct fm_buf value;
    fm_buf_init(&value, 65536);
    (void)fm_local_address_ok(text, len);
    (void)fm_attach_answer((const char *)data, size, &code, &text, &len);
    if (fm_properties_get(text, len, "com.sun.management.jmxremote.localConnectorAddress", &value))
        (void)fm_local_address_ok(value.data == NULL ? "" : value.data, value.len);
    fm_buf_clear(&value);
    return 0;
}
