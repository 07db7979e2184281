/* Java serialization: any bytes, whole and in pieces, must end in an answer or an error. */
#include <stdint.h>
#include <stdlib.h>

#include "jmx/rmi/ser_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum fm_code read_all(struct fm_ser *ser, const uint8_t *data, size_t size)
{
    size_t piece = data[0] < 4 ? size : data[0];
    if ((data[0] & 3) == 3)
        fm_ser_begin_stream(ser);
    else
        fm_ser_begin_return(ser, (enum fm_ser_expect)(data[0] & 3));
    enum fm_code code = FM_EAGAIN;
    size_t from = 1;
    for (size_t to = 1; to < size && code == FM_EAGAIN;) {
        size_t used;
        to = to + piece < size ? to + piece : size;
        code = fm_ser_feed(ser, data + from, to - from, &used, NULL);
        if (used > to - from)
            abort();
        from += used;
    }
    return code;
}

/* The first byte chooses what is expected and how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_ser ser;
    enum fm_code first = FM_OK;
    if (size == 0)
        return 0;
    fm_ser_init(&ser, 64 * 1024);
    for (int round = 0; round < 3; round++) { /* the classes are known from the third on */
        enum fm_code code = read_all(&ser, data, size);
        if (round > 0 && code != first)
            abort();
        first = code;
    }
    fm_ser_clear(&ser);
    return 0;
}
