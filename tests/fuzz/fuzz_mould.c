/* Moulds: whatever answer is learned, another one that fits it has the value that parsing gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/mould_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fm_jmx_convert opts;

/* Parse and convert; learn it if there is a trace. @return whether it is an answer */
static bool read_answer(const uint8_t *data, size_t len, struct fm_ser_trace *trace,
                        struct fm_mould **mould, struct fm_buf *json)
{
    struct fm_ser ser;
    struct fm_arena arena;
    struct fm_convert c;
    struct fm_value value;
    size_t used = 0;
    fm_ser_init(&ser, 0);
    fm_arena_init(&arena, 4 << 20);
    fm_ser_begin_return(&ser, FM_SER_VALUE);
    ser.trace = trace;
    fm_convert_init(&c, &opts, &arena, NULL);
    const bool ok = fm_ser_feed(&ser, data, len, &used, NULL) == FM_OK && !ser.exception &&
                    fm_convert_attributes(&c, ser.root, &value) == FM_OK;
    if (ok && trace != NULL)
        *mould = fm_mould_new(&opts, &ser, data, used, &value);
    if (ok)
        fm_value_print(json, &value, FM_JSON_NONFINITE_STRING);
    fm_ser_clear(&ser);
    fm_arena_clear(&arena);
    return ok;
}

/* Two bytes with a length, so many bytes to learn, then the other answer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_ser_trace trace = {0};
    struct fm_mould *mould = NULL;
    struct fm_buf parsed, filled;
    struct fm_arena arena;
    struct fm_value value;
    struct fm_cursor cur;
    const size_t first = size < 2 ? 0 : (size_t)data[0] << 8 | data[1];
    if (first == 0 || first > size - 2)
        return 0;
    fm_buf_init(&parsed, 0);
    fm_buf_init(&filled, 0);
    fm_arena_init(&arena, 4 << 20);
    fm_cursor_init(&cur, data + 2 + first, size - 2 - first);
    (void)read_answer(data + 2, first, &trace, &mould, &parsed);
    if (mould != NULL && fm_mould_fill(mould, &cur, &arena, &value) == FM_MOULD_FITS) {
        fm_buf_reset(&parsed);
        fm_value_print(&filled, &value, FM_JSON_NONFINITE_STRING);
        if (!read_answer(data + 2 + first, cur.at, NULL, &mould, &parsed) ||
            strcmp(fm_buf_str(&parsed), fm_buf_str(&filled)) != 0)
            abort();
    }
    free(mould);
    free(trace.events);
    fm_buf_clear(&parsed);
    fm_buf_clear(&filled);
    fm_arena_clear(&arena);
    return 0;
}
