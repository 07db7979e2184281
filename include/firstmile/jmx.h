/* firstmile/jmx.h - read MBeans of a JVM from C: over RMI or through a Jolokia agent, without Java.
 *
 * A session belongs to one thread at a time; several sessions may live on several threads. Every
 * call blocks, at most timeout_ms. A session whose connection broke connects again by itself with
 * the next call. The first fm_jmx_open() of a process must not run beside another thread: it
 * prepares libcurl, ignores SIGPIPE unless it is handled, and drops SSLKEYLOGFILE from the
 * environment. */
#ifndef FIRSTMILE_JMX_H
#define FIRSTMILE_JMX_H

#include "firstmile/err.h"

struct fm_jmx_session; /* opaque */

/** Where to and as whom. Texts are copied; NULL stands for none. */
struct fm_jmx_session_opts {
    const char *url; /* HOST:PORT, service:jmx:rmi:..., or http(s)://... of a Jolokia agent */
    const char *username;
    const char *password;
    bool tls; /* the RMI connector speaks TLS */
    bool tls_registry; /* the RMI registry too */
    const char *ca_file; /* PEM; NULL: the certificates of the system */
    const char *cert_file; /* PEM; client certificate */
    const char *key_file; /* PEM; NULL: in cert_file */
    unsigned timeout_ms; /* of each call; 0: 10 s */
};

/** Connect and log in.
 * @param out  set on success only; yours, see fm_jmx_close()
 * @return FM_OK; FM_ECONF (the url is wrong); FM_ENAME, FM_ECONNECT, FM_ETIMEOUT (not there now);
 *         FM_EAUTH, FM_ETLS, FM_EPERM (not let in); err names the place and the remedy */
FM_API FM_MUST_USE enum fm_code fm_jmx_open(struct fm_jmx_session **out,
                                            const struct fm_jmx_session_opts *opts,
                                            struct fm_err *err);

/** Read one value.
 * @param out   set on success only: the value as JSON text, exact to 64 bits; yours, give it to
 *              free(). The text of a number is a number, so strtod() reads it
 * @param bean  an ObjectName, "java.lang:type=Memory"
 * @param path  an attribute, with '/' into a composite: "HeapMemoryUsage/used"; '\' escapes
 * @return FM_OK; FM_ENOTFOUND (no such bean, attribute or key); FM_EREMOTE (the getter failed);
 *         FM_EUSAGE (bean is no name); FM_EPROTO, FM_ELIMIT (the value cannot be read); FM_ENOMEM;
 *         else as fm_jmx_open() */
FM_API FM_MUST_USE enum fm_code fm_jmx_get(char **out, struct fm_jmx_session *session,
                                           const char *bean, const char *path, struct fm_err *err);

/** Say goodbye without waiting, and free. NULL is allowed. */
FM_API void fm_jmx_close(struct fm_jmx_session *session);

#endif
