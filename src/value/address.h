/* value/address.h - where a JVM's RMI connector is: service URLs of JSR 160, and HOST:PORT.
 *
 * Pure functions of the text; any thread. */
#ifndef FM_VALUE_ADDRESS_H
#define FM_VALUE_ADDRESS_H

#include "base/buf.h"

enum { FM_RMI_HOST = 256, FM_RMI_NAME = 256 };

/* A parsed service URL. */
struct fm_rmi_address {
    char host[FM_RMI_HOST]; /* "" only with a stub: the stub's host then */
    uint16_t port; /* of the registry; 0 with a stub */
    char name[FM_RMI_NAME]; /* in the registry, percent escapes undone */
    struct fm_buf stub; /* the serialized stub of a /stub/ URL; else empty */
};

/** Parse "service:jmx:rmi:..." or "host:port".
 * @return FM_OK (then fm_rmi_address_clear()) or FM_ECONF with what is wrong */
FM_MUST_USE enum fm_code fm_rmi_address_parse(struct fm_rmi_address *out, const char *url,
                                              struct fm_err *err);
void fm_rmi_address_clear(struct fm_rmi_address *address);

/** The same, only to know whether it is one. */
FM_MUST_USE enum fm_code fm_rmi_address_check(const char *url, struct fm_err *err);

/** HOST[:PORT] as it stands in any URL.
 * @return what is wrong with it, static; NULL if nothing is */
const char *fm_authority_fault(const char *text, size_t len);

#endif
