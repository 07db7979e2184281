/* Certificates in files of our own. */
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "net/client.h"

enum { FILE_MAX = 1 << 20 };

static bool read_all(const char *path, struct fm_buf *out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;)
        fm_buf_put(out, part, n);
    bool ok = ferror(file) == 0 && !out->failed && out->len > 0;
    (void)fclose(file);
    return ok;
}

int64_t fm_net_cert_until(const char *path)
{
    int64_t until = 0;
    struct fm_buf pem;
    gnutls_x509_crt_t cert;
    fm_buf_init(&pem, FILE_MAX);
    if (read_all(path, &pem) && gnutls_x509_crt_init(&cert) == GNUTLS_E_SUCCESS) {
        gnutls_datum_t data = {(unsigned char *)pem.data, (unsigned)pem.len};
        if (gnutls_x509_crt_import(cert, &data, GNUTLS_X509_FMT_PEM) == GNUTLS_E_SUCCESS)
            until = gnutls_x509_crt_get_expiration_time(cert);
        gnutls_x509_crt_deinit(cert);
    }
    if (pem.data != NULL) /* a key may lie beside it */
        explicit_bzero(pem.data, pem.cap);
    fm_buf_clear(&pem);
    return until > 0 ? until : 0;
}
