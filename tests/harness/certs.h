/* harness/certs.h - certificates made with the openssl command in a temporary folder:
 * ca, other (another CA), server (localhost, 127.0.0.1, good.test), wrong (elsewhere.test),
 * expired, future, self, client, stranger (a client of the other CA); each as NAME.pem and
 * NAME.key. */
#ifndef FM_HARNESS_CERTS_H
#define FM_HARNESS_CERTS_H

#include <stddef.h>

/** Make them, once per process (about 0.2 s); the folder is removed at exit. @return its path */
const char *certs_dir(void);

/** Make the odd ones too: below (chain.pem with its intermediate), constrained (a CA for only.test
 * signed for good.test), purpose (for clients), stars (*.*), weak (RSA of 1024 bits), sha1, late
 * (an expired client), locked.key (client.key under the password open-sesame). */
void certs_odd(void);

/** "DIR/NAME" into out, e.g. certs_path(p, sizeof p, "ca.pem"); @return out */
const char *certs_path(char *out, size_t size, const char *name);

#endif
