#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t unchunk(char *body, size_t len)
{
    size_t in = 0, out = 0;
    while (in < len) {
        char *end;
        size_t n = strtoul(body + in, &end, 16);
        in = (size_t)(end - body) + 2;
        if (n == 0 || in + n > len)
            break;
        memmove(body + out, body + in, n);
        out += n;
        in += n + 2;
    }
    body[out] = '\0';
    return out;
}

bool vector_read(const char *path, struct fm_http_answer *out, char **body)
{
    FILE *f = fopen(path, "rb");
    *out = (struct fm_http_answer){
        .failure = FM_HTTP_OK, .cert_days = -1, .body_sent = true, .content_type = ""};
    if (f == NULL)
        return false;
    char *all = calloc(1, 1 << 20);
    size_t len = fread(all, 1, (1 << 20) - 1, f);
    fclose(f);
    char *start = all;
    while (strncmp(start, "HTTP/1.1 100", 12) == 0)
        start = strstr(start, "\r\n\r\n") + 4;
    char *head_end = strstr(start, "\r\n\r\n");
    if (head_end == NULL) { /* no answer within the limit */
        out->failure = FM_HTTP_TIMEOUT;
        *body = all;
        out->body = all;
        return true;
    }
    out->status = strtol(start + 9, NULL, 10);
    head_end[2] = '\0';
    bool chunked = strcasestr(start, "\r\nTransfer-Encoding: chunked") != NULL;
    out->body_len = len - (size_t)(head_end + 4 - all);
    *body = calloc(1, out->body_len + 1);
    memcpy(*body, head_end + 4, out->body_len);
    if (chunked)
        out->body_len = unchunk(*body, out->body_len);
    out->body = *body;
    free(all);
    return true;
}

void vector_words(const struct fm_verdict *v, size_t n, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s%s%s%s", i > 0 ? " " : "",
                               fm_class_name(v[i].cls), v[i].flags & FM_V_P ? "+P" : "",
                               v[i].cls == FM_CLS_OK ? "" : "/",
                               v[i].cls == FM_CLS_OK ? "" : v[i].row->name);
}
