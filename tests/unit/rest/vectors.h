/* Reading the recorded answers of real proxies as an HTTP client would hand them over. */
#ifndef FM_TEST_REST_VECTORS_H
#define FM_TEST_REST_VECTORS_H

#include "rest/topic_priv.h"

/** Parse status line, headers and body (chunked too) of a file.
 * @param body  allocated, terminated; the caller frees it. @return false: no such file */
bool vector_read(const char *path, struct fm_http_answer *out, char **body);

/** "OK ISOLATE+P/size PROBE/expiring": one word for each record. */
void vector_words(const struct fm_verdict *v, size_t n, char *out, size_t size);

/* Whether this answer ("confluent-8.3.1/75-consumer-create") is one that test_consumer.c reads. */
bool vector_of_consumer(const char *file);

#endif
