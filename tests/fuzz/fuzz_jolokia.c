/* The answer of a Jolokia agent to a bulk, each element taken as the answer to every kind of call.
 */
#include <stdint.h>

#include "jmx/jolokia/jolokia_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"A", "Value", "Count"};
    static const enum fm_jmx_op ops[] = {FM_JMX_NAMES, FM_JMX_INFO, FM_JMX_READ, FM_JMX_REASON};
    struct fm_jolokia_types types;
    struct fm_jolokia_reply reply;
    struct fm_jscan s;
    struct fm_arena arena;
    fm_jolokia_types_init(&types);
    fm_arena_init(&arena, 1024 * 1024);
    fm_jscan_init(&s, (const char *)data, size);
    enum fm_jtoken token = fm_jscan_next(&s);
    if (token == FM_J_ARRAY)
        token = fm_jscan_next(&s);
    for (; fm_jolokia_reply_read(&reply, &s, token); token = fm_jscan_next(&s))
        for (size_t i = 0; i < 4; i++) {
            struct fm_jmx_call call = {
                .op = ops[i], .name = "a:b=c", .attributes = names, .n_attributes = 3};
            fm_jolokia_reply_take(&call, &reply, fm_jolokia_types_find(&types, "a:b=c"), &arena,
                                  64 * 1024);
            if (call.op == FM_JMX_INFO && call.code == FM_OK)
                fm_jolokia_types_put(&types, "a:b=c", &call.value);
            fm_arena_reset(&arena);
        }
    fm_arena_clear(&arena);
    fm_jolokia_types_clear(&types);
    return 0;
}
