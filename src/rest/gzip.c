/* Compressed bodies: zlib at level 1, one stream for the sender. */
#include <stdlib.h>
#include <zlib.h>

#include "rest/rest_priv.h"

enum { LEVEL = 1, WINDOW_GZIP = 15 + 16, MEMORY = 8 };

struct fm_gzip {
    z_stream z;
};

struct fm_gzip *fm_gzip_new(void)
{
    struct fm_gzip *g = calloc(1, sizeof *g);
    if (g == NULL ||
        deflateInit2(&g->z, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(g);
        return NULL;
    }
    return g;
}

void fm_gzip_free(struct fm_gzip *g)
{
    if (g == NULL)
        return;
    (void)deflateEnd(&g->z);
    free(g);
}

bool fm_gzip_body(struct fm_gzip *g, const struct fm_buf *body, struct fm_buf *out)
{
    fm_buf_reset(out);
    if (deflateReset(&g->z) != Z_OK || body->len > UINT32_MAX)
        return false;
    size_t bound = deflateBound(&g->z, body->len);
    if (bound > UINT32_MAX || !fm_buf_reserve(out, bound))
        return false;
    g->z.next_in = (unsigned char *)body->data;
    g->z.avail_in = (unsigned)body->len;
    g->z.next_out = (unsigned char *)out->data;
    g->z.avail_out = (unsigned)bound;
    bool done = deflate(&g->z, Z_FINISH) == Z_STREAM_END;
    out->len = done ? bound - g->z.avail_out : 0;
    return done;
}

bool fm_gzip_doubted(const struct fm_sent *sent, const struct fm_http_answer *http,
                     const struct fm_judgement *j)
{
    if (!sent->gzip || j->accepted > 0 || http->failure != FM_HTTP_OK)
        return false;
    if (!j->by_record)
        return http->status == 400 || http->status == 415 || http->status == 422;
    return j->shape == FM_SHAPE_STREAM && j->top.code == 400;
}
