/* The bytes of a whole JRMP connection: handshake, then returns and what is made of them. */
#include <stdint.h>
#include <string.h>

#include "jmx/rmi/convert_priv.h"
#include "jmx/rmi/rmi_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_link link;
    struct fm_arena arena;
    struct fm_err err = {0};
    fm_link_init(&link, 64 * 1024);
    fm_arena_init(&arena, 1024 * 1024);
    fm_buf_put(&link.in, data, size);
    while (fm_link_next(&link, FM_SER_VALUE, &err) == FM_OK && link.ser.root != NULL) {
        struct fm_convert c;
        struct fm_value value;
        struct fm_stub stub;
        enum fm_code code = fm_stub_parse(&stub, link.ser.root, &err);
        if (link.ser.exception)
            (void)fm_throwable_judge(link.ser.root, true, &err);
        fm_convert_init(&c, &(struct fm_jmx_convert){.object_fields = true}, &arena, &err);
        if (code != FM_OK && fm_convert_attributes(&c, link.ser.root, &value) == FM_EPROTO &&
            fm_convert_info(&c, link.ser.root, &value) == FM_EPROTO &&
            fm_convert_names(&c, link.ser.root, &value) == FM_EPROTO)
            code = fm_convert_node(&c, link.ser.root, &value);
        fm_arena_clear(&arena);
    }
    fm_arena_clear(&arena);
    fm_link_clear(&link);
    return 0;
}
