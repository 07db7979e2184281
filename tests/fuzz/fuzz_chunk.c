/* A stored chunk from a damaged disk: whatever the bytes, reading ends and stays inside. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "frame/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_chunk *chunk = NULL;
    if (fm_chunk_load(&chunk, data, size, NULL) != FM_OK)
        return 0;
    size_t at = 0;
    struct fm_record rec;
    enum fm_code code;
    while ((code = fm_chunk_next(chunk, &at, &rec, NULL)) != FM_ENOTFOUND) {
        if (code != FM_OK)
            continue;
        struct fm_buf buf;
        fm_buf_init(&buf, 0);
        fm_record_value(&buf, &rec, "0123456789abcdef", 7);
        assert(buf.len == fm_record_value_len(&rec, "0123456789abcdef", 7));
        fm_buf_clear(&buf);
        struct fm_header header;
        for (size_t i = 0; i < rec.n_headers; i++)
            assert(fm_record_header(&rec, i, &header));
    }
    fm_chunk_free(chunk);
    return 0;
}
