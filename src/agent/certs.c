#include "agent/certs.h"

#include "base/hash.h"

enum { SOON_DAYS = 14, URGENT_DAYS = 3 };

struct cert {
    const char *name; /* NULL: there is none */
    int days; /* -1: unknown */
};

static struct cert cert_at(const struct fm_rest_stats *rest, const char *file, size_t i)
{
    if (i < rest->n_endpoints)
        return (struct cert){rest->endpoints[i].url, rest->endpoints[i].cert_days};
    return (struct cert){file, rest->client_cert_days};
}

enum fm_cert_end fm_cert_look(const struct fm_rest_stats *rest, const char *file, size_t i,
                              struct fm_buf *text)
{
    struct cert cert = cert_at(rest, file, i);
    if (cert.name == NULL || cert.days < 0 || cert.days > SOON_DAYS)
        return FM_CERT_GOOD;
    const char *whose =
        i < rest->n_endpoints ? "the certificate of" : "[rest] cert_file: the client's certificate";
    if (cert.days == 0)
        fm_buf_printf(text, "%s %s ends within a day or has ended: renew it", whose, cert.name);
    else
        fm_buf_printf(text, "%s %s ends in %d day%s: renew it", whose, cert.name, cert.days,
                      cert.days == 1 ? "" : "s");
    return cert.days <= URGENT_DAYS ? FM_CERT_URGENT : FM_CERT_SOON;
}

static enum fm_cert_end told_of(const struct fm_certs *certs, uint64_t name)
{
    for (size_t i = 0; i < certs->n; i++)
        if (certs->told[i].name == name)
            return certs->told[i].end;
    return FM_CERT_GOOD;
}

void fm_certs_tell(struct fm_certs *certs, const struct fm_rest_stats *rest, const char *file,
                   struct fm_log *log)
{
    struct fm_certs now = {.n = 0};
    struct fm_buf text;
    fm_buf_init(&text, 0);
    for (size_t i = 0; i <= rest->n_endpoints; i++) {
        struct cert cert = cert_at(rest, file, i);
        if (cert.name == NULL)
            continue;
        uint64_t name = fm_hash_text(cert.name);
        enum fm_cert_end before = told_of(certs, name);
        fm_buf_reset(&text);
        enum fm_cert_end end = cert.days < 0 ? before : fm_cert_look(rest, file, i, &text);
        if (end > before)
            fm_log(log, FM_LOG_WARN, "%s", fm_buf_str(&text));
        now.told[now.n++] = (struct fm_cert_told){name, end};
    }
    *certs = now;
    fm_buf_clear(&text);
}
