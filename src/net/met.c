/* The certificate that a peer showed, from the messages of the handshake that libcurl's trace hands
 * out: of one that was refused, libcurl keeps neither the name nor who issued it. */
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/utf8.h"
#include "net/client_priv.h"

enum { HANDSHAKE_CERTIFICATE = 11 };

static bool read_u24(struct fm_cursor *cur, size_t *out)
{
    uint8_t high;
    uint16_t low;
    if (!fm_cursor_u8(cur, &high) || !fm_cursor_u16(cur, &low))
        return false;
    *out = (size_t)high << 16 | low;
    return true;
}

/* The list of certificates: of TLS 1.3 a context stands before it, and extensions behind each. */
static bool first_of(struct fm_cursor cur, bool tls13, gnutls_datum_t *der)
{
    uint8_t context;
    size_t list, len;
    const unsigned char *data;
    if (tls13 && (!fm_cursor_u8(&cur, &context) || !fm_cursor_skip(&cur, context)))
        return false;
    if (!read_u24(&cur, &list) || list != fm_cursor_left(&cur) || !read_u24(&cur, &len) ||
        len == 0 || !fm_cursor_take(&cur, len, &data))
        return false;
    *der = (gnutls_datum_t){(unsigned char *)(uintptr_t)data, (unsigned)len};
    return true;
}

/* RFC 5246, 7.4.2 and RFC 8446, 4.4.2. */
static bool leaf_of(const void *message, size_t size, gnutls_datum_t *der)
{
    struct fm_cursor cur;
    uint8_t type;
    size_t len;
    fm_cursor_init(&cur, message, size);
    return fm_cursor_u8(&cur, &type) && type == HANDSHAKE_CERTIFICATE && read_u24(&cur, &len) &&
           len == fm_cursor_left(&cur) && (first_of(cur, false, der) || first_of(cur, true, der));
}

/* A name as RFC 4514 writes it, in whole characters of valid UTF-8. */
static void keep_name(char *out, size_t size, gnutls_x509_crt_t cert,
                      int (*get)(gnutls_x509_crt_t, gnutls_datum_t *))
{
    gnutls_datum_t name = {NULL, 0};
    size_t n = 0;
    if (get(cert, &name) == GNUTLS_E_SUCCESS)
        for (size_t i = 0, step; i < name.size; i += step) {
            const char *at = (const char *)name.data + i;
            step = fm_utf8_step(at, name.size - i);
            bool good = step > 0 && *at != '\0';
            size_t len = good ? step : 1;
            if (n + len >= size)
                break;
            memcpy(out + n, good ? at : "?", len);
            n += len;
            step = step > 0 ? step : 1;
        }
    out[n] = '\0';
    if (n == 0)
        (void)snprintf(out, size, "no name");
    gnutls_free(name.data);
}

static void keep_day(char out[12], time_t at)
{
    char text[32] = "?";
    if (at != (time_t)-1)
        fm_wall_text((int64_t)at * 1000, text);
    (void)snprintf(out, 12, "%.10s", text);
}

bool fm_net_met_read(struct fm_net_met *met, const void *message, size_t size)
{
    gnutls_datum_t der;
    gnutls_x509_crt_t cert;
    if (!leaf_of(message, size, &der) || gnutls_x509_crt_init(&cert) != GNUTLS_E_SUCCESS)
        return false;
    bool good = gnutls_x509_crt_import(cert, &der, GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS;
    if (good) {
        keep_name(met->subject, sizeof met->subject, cert, gnutls_x509_crt_get_dn2);
        keep_name(met->issuer, sizeof met->issuer, cert, gnutls_x509_crt_get_issuer_dn2);
        keep_day(met->from, gnutls_x509_crt_get_activation_time(cert));
        keep_day(met->until, gnutls_x509_crt_get_expiration_time(cert));
        met->seen = true;
    }
    gnutls_x509_crt_deinit(cert);
    return good;
}

static void cut_name(char *out, size_t size, const char *name, size_t width)
{
    (void)snprintf(out, size, "%.*s", (int)width, name);
    fm_utf8_cut(out);
}

const char *fm_net_met_text(const struct fm_net_met *met, size_t width, char *out, size_t size)
{
    /* Who issued it says more than whom it names. */
    static const size_t widths[][2] = {{63, 63}, {40, 63}, {24, 48}, {16, 32}, {12, 20}};
    out[0] = '\0';
    if (met == NULL || !met->seen)
        return out;
    size_t len = SIZE_MAX;
    for (size_t i = 0; i < sizeof widths / sizeof *widths && len > width; i++) {
        char subject[sizeof met->subject], issuer[sizeof met->issuer];
        cut_name(subject, sizeof subject, met->subject, widths[i][0]);
        cut_name(issuer, sizeof issuer, met->issuer, widths[i][1]);
        (void)snprintf(out, size, " (%s, issued by %s, %s to %s)", subject, issuer, met->from,
                       met->until);
        len = strlen(out);
    }
    if (len > width) {
        char issuer[sizeof met->issuer];
        cut_name(issuer, sizeof issuer, met->issuer, 32);
        (void)snprintf(out, size, " (issued by %s)", issuer);
        len = strlen(out);
    }
    if (len > width)
        out[0] = '\0';
    return out;
}
