/* The token server's answer, and the request's body: RFC 6749, sections 4.4.2, 5.1 and 5.2. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "rest/answer_priv.h"
#include "rest/oauth_priv.h"

enum { TOKEN_MAX = 16 * 1024, LIFE_MAX_S = 366 * 24 * 3600 };

/* What an answer without a token means; first match. */
static const struct {
    int status; /* -4, -5: any 4xx, 5xx; 0: any */
    const char *error; /* NULL: any */
    bool denied, other_way;
    const char *remedy;
} rows[] = {
    {-4, "invalid_client", true, true, "check [rest] oauth2_client and oauth2_secret"},
    {-4, "unauthorized_client", true, false,
     "allow the client credentials grant for [rest] oauth2_client"},
    {-4, "unsupported_grant_type", true, false,
     "allow the client credentials grant for [rest] oauth2_client"},
    {-4, "invalid_scope", true, false, "check [rest] oauth2_scope"},
    {-4, "invalid_request", true, true, "check [rest] oauth2_url and oauth2_scope"},
    {401, NULL, true, true, "check [rest] oauth2_client and oauth2_secret"},
    {408, NULL, false, false, "look at the token server's log"},
    {429, NULL, false, false, "the token server limits how often it is asked"},
    {-4, NULL, true, false, "check [rest] oauth2_url"},
    {-5, NULL, false, false, "look at the token server's log"},
    {0, NULL, true, false, "check [rest] oauth2_url: this is no token endpoint's answer"},
};

static void no_token(struct fm_oauth_token *out, long status, const char *error)
{
    size_t i = 0, last = sizeof rows / sizeof *rows - 1;
    for (; i < last; i++) {
        bool hit = rows[i].status == 0 || rows[i].status == status ||
                   (rows[i].status < 0 && status / 100 == -rows[i].status);
        if (hit && (rows[i].error == NULL || (error != NULL && strcmp(rows[i].error, error) == 0)))
            break;
    }
    out->denied = rows[i].denied;
    out->other_way = rows[i].other_way;
    out->remedy = rows[i].remedy;
}

/* Visible ASCII (RFC 6749, appendix A.12): a header may hold nothing else, and nothing that a log
 * could be forged with. */
static bool is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i]; /* a plain char has no sign on ARM */
        if (c <= 0x20 || c >= 0x7f)
            return false;
    }
    return len > 0 && len <= TOKEN_MAX;
}

static int64_t life_ms(const json_t *value)
{
    double s = json_is_number(value) ? json_number_value(value) : 0;
    if (json_is_string(value)) { /* some servers quote it */
        long long n = 0;
        (void)sscanf(json_string_value(value), "%12lld", &n);
        s = (double)n;
    }
    if (!(s > 0))
        return 0;
    return (int64_t)((s < LIFE_MAX_S ? s : LIFE_MAX_S) * 1000);
}

static void take_token(struct fm_oauth_token *out, const json_t *doc)
{
    const json_t *token = json_object_get(doc, "access_token");
    const json_t *type = json_object_get(doc, "token_type");
    const char *text = json_string_value(token);
    if (text == NULL || !is_token(text, json_string_length(token))) {
        snprintf(out->what, sizeof out->what, "its answer holds no usable access_token");
        return;
    }
    if (type != NULL &&
        (!json_is_string(type) || strcasecmp(json_string_value(type), "bearer") != 0)) {
        snprintf(out->what, sizeof out->what, "its token is not of the type Bearer");
        return;
    }
    fm_buf_put(&out->text, text, json_string_length(token));
    out->life_ms = life_ms(json_object_get(doc, "expires_in"));
    out->got = true;
}

/* "HTTP 401: invalid_client: text"; what the server says is cut and made printable. */
static void say_error(struct fm_oauth_token *out, long status, const char *error, const char *text)
{
    snprintf(out->what, sizeof out->what, "HTTP %ld%s%.60s%s%.140s", status,
             error != NULL ? ": " : "", error != NULL ? error : "", text != NULL ? ": " : "",
             text != NULL ? text : "");
    for (char *p = out->what; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    fm_utf8_cut(out->what);
}

enum fm_code fm_oauth_read(struct fm_oauth_token *out, const struct fm_http_answer *http,
                           struct fm_err *err)
{
    *out = (struct fm_oauth_token){0};
    fm_buf_init(&out->text, TOKEN_MAX);
    if (http->failure != FM_HTTP_OK) {
        snprintf(out->what, sizeof out->what, "%.230s", fm_err_text(&http->err));
        fm_utf8_cut(out->what);
        out->denied = http->failure == FM_HTTP_TLS_VERIFY || http->failure == FM_HTTP_PROXY_DENIED;
        out->remedy = strchr(out->what, ';') != NULL ? NULL
                      : http->hop == FM_HOP_TLS
                          ? "check [rest] ca_file: it must hold the token server's CA too"
                          : "check [rest] oauth2_url, and that the token server runs";
        return FM_OK;
    }
    json_t *doc = json_loadb(http->body, http->body_len, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(doc, "error"));
    if (http->status == 200 && json_is_object(doc) && error == NULL)
        take_token(out, doc);
    else if (http->status == 200 && error == NULL)
        snprintf(out->what, sizeof out->what, "its answer is not a JSON object");
    else
        say_error(out, http->status, error,
                  json_string_value(json_object_get(doc, "error_description")));
    if (!out->got)
        no_token(out, http->status == 200 && error != NULL ? 400 : http->status, error);
    json_decref(doc);
    enum fm_code code = fm_buf_code(&out->text, err);
    if (code != FM_OK)
        fm_oauth_token_clear(out);
    return code;
}

void fm_oauth_token_clear(struct fm_oauth_token *token)
{
    if (token->text.data != NULL)
        explicit_bzero(token->text.data, token->text.cap);
    fm_buf_clear(&token->text);
    token->got = false;
}

void fm_oauth_encode(struct fm_buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++)
        if (strchr(plain, *text) != NULL)
            fm_buf_putc(out, *text);
        else
            fm_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}

void fm_oauth_form(struct fm_buf *out, const char *client, const char *secret, const char *scope)
{
    fm_buf_puts(out, "grant_type=client_credentials");
    if (scope != NULL) {
        fm_buf_puts(out, "&scope=");
        fm_oauth_encode(out, scope);
    }
    if (secret == NULL)
        return;
    fm_buf_puts(out, "&client_id=");
    fm_oauth_encode(out, client);
    fm_buf_puts(out, "&client_secret=");
    fm_oauth_encode(out, secret);
}
