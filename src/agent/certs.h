/* agent/certs.h - certificates about to end: told in the log once for each bound that is crossed,
 * and in the notes of /health as long as it lasts. Main thread. */
#ifndef FM_AGENT_CERTS_H
#define FM_AGENT_CERTS_H

#include "base/log.h"
#include "rest/rest.h"

enum fm_cert_end { FM_CERT_GOOD, FM_CERT_SOON /* 14 days or less */, FM_CERT_URGENT /* 3 */ };

/** What was told of each certificate. All zero at first. */
struct fm_certs {
    struct fm_cert_told {
        uint64_t name; /* hash of the endpoint's URL or the file's name */
        enum fm_cert_end end;
    } told[FM_REST_ENDPOINTS + 1];
    size_t n;
};

/** Certificate i: of endpoint i, and behind the last one the client's own.
 * @param file  the client's; NULL: none
 * @param text  gets the sentence, unless it is FM_CERT_GOOD */
enum fm_cert_end fm_cert_look(const struct fm_rest_stats *rest, const char *file, size_t i,
                              struct fm_buf *text);

/** Log what became worse since the last call. */
void fm_certs_tell(struct fm_certs *certs, const struct fm_rest_stats *rest, const char *file,
                   struct fm_log *log);

#endif
