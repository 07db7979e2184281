/* The stub of a remote object: where it is and what its id is. */
#include <string.h>

#include "jmx/rmi/rmi_priv.h"

static enum fm_code wrong(struct fm_err *err, const char *what)
{
    return fm_err_set(err, FM_EPROTO, "the stub of the remote object is not legal: %s", what);
}

static bool take_utf(struct fm_ser_reader *r, char *out, size_t size, size_t *len)
{
    unsigned char n[2];
    if (!fm_ser_reader_bytes(r, n, 2))
        return false;
    *len = (size_t)n[0] << 8 | n[1];
    if (*len >= size || !fm_ser_reader_bytes(r, out, *len))
        return false;
    out[*len] = '\0';
    return true;
}

/* A host is for connecting and for messages: nothing but printable ASCII. */
static bool host_ok(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (host[i] <= ' ' || host[i] > '~' || strchr("/@?#\\\"", host[i]) != NULL)
            return false;
    return true;
}

static enum fm_code take_endpoint(struct fm_stub *out, struct fm_ser_reader *r, struct fm_err *err)
{
    size_t len;
    int32_t port;
    if (!take_utf(r, out->host, sizeof out->host, &len) || !host_ok(out->host, len))
        return wrong(err, "its host is no host name");
    if (!fm_ser_reader_i32(r, &port) || port < 1 || port > UINT16_MAX)
        return wrong(err, "its port is outside 1..65535");
    out->port = (uint16_t)port;
    return FM_OK;
}

static enum fm_code take_factory(struct fm_stub *out, struct fm_ser_reader *r, struct fm_err *err)
{
    if (fm_ser_reader_more_bytes(r))
        return wrong(err, "bytes where its socket factory must be");
    const struct fm_ser_node *factory = fm_ser_reader_next(r);
    if (factory == NULL)
        return wrong(err, "its socket factory is missing");
    if (fm_ser_is_a(factory, "javax.rmi.ssl.SslRMIClientSocketFactory"))
        out->tls = FM_STUB_TLS;
    else if (factory->kind != FM_SER_NULL)
        out->tls = FM_STUB_CUSTOM;
    return FM_OK;
}

static enum fm_code take_reference(struct fm_stub *out, struct fm_ser_reader *r, struct fm_err *err)
{
    char type[32];
    size_t len;
    unsigned char format = 0;
    if (!take_utf(r, type, sizeof type, &len))
        return wrong(err, "its reference type is missing");
    bool second = strcmp(type, "UnicastRef2") == 0;
    if (!second && strcmp(type, "UnicastRef") != 0)
        return wrong(err, "its reference type is unknown");
    if (second && (!fm_ser_reader_bytes(r, &format, 1) || format > 1))
        return wrong(err, "its endpoint has an unknown format");
    FM_TRY(take_endpoint(out, r, err));
    if (format == 1)
        FM_TRY(take_factory(out, r, err));
    unsigned char wants_ack;
    if (!fm_ser_reader_bytes(r, out->id, sizeof out->id) ||
        !fm_ser_reader_bytes(r, &wants_ack, 1) || !fm_ser_reader_done(r))
        return wrong(err, "its object id has a wrong length");
    return FM_OK;
}

enum fm_code fm_stub_parse(struct fm_stub *out, const struct fm_ser_node *node, struct fm_err *err)
{
    *out = (struct fm_stub){0};
    const struct fm_ser_class *part = fm_ser_class_of(node, "java.rmi.server.RemoteObject");
    if (part == NULL) /* a proxy keeps it in its handler */
        part = fm_ser_class_of(fm_ser_child(node, "h"), "java.rmi.server.RemoteObject");
    if (part == NULL)
        return fm_err_set(err, FM_EPROTO, "the peer gave %.100s where a remote object must be",
                          fm_ser_class_name(node));
    struct fm_ser_reader r;
    fm_ser_reader_init(&r, &part->notes);
    return take_reference(out, &r, err);
}
