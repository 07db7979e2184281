/* rest/table_priv.h - what the files of the decision tables share. */
#ifndef FM_REST_TABLE_PRIV_H
#define FM_REST_TABLE_PRIV_H

#include "rest/answer_priv.h"

#define CODES(...)                                                                                 \
    (const int[])                                                                                  \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }

enum { T_FIRST_TLS = 100 }; /* BROKEN on the first request of a fresh TLS connection */

const struct fm_row *fm_table_gzip(void); /* a 400 to a compressed request */
const struct fm_row *fm_table_record_rows(bool redpanda, size_t *n);

#endif
